// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What prctl(2), arch_prctl(2), membarrier(2), set_mempolicy(2) and sched_setattr(2) have set: for the process, and for
// one thread only.
#include "selftests/scenarios/scenario.h"
#include "selftests/scenarios/sched_parameters.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SET_MDWE             65
#define GET_MDWE             66
#define SET_MEMORY_MERGE     67
#define GET_MEMORY_MERGE     68
#define FUTEX_HASH           78
#define MPOL_BIND_           2
#define MPOL_F_STATIC_NODES_ (1 << 15)
#define SLICE_NS             3000000

#define THP_EXCEPT_ADVISED 2 /* PR_THP_DISABLE_EXCEPT_ADVISED, since v6.18 */

static bool has_mdwe, has_merge, has_slice, has_policy, has_slots;
static int thp_mode;
static volatile int round_of_thread, thread_done;

static long registrations(void)
{
	return syscall(SYS_membarrier, 1 << 9 /* MEMBARRIER_CMD_GET_REGISTRATIONS */, 0, 0);
}

static int tsc_mode(void)
{
	int mode = 0;

	prctl(PR_GET_TSC, &mode);
	return mode;
}

static uint64_t slice(void)
{
	struct sched_parameters now = {0};

	syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0);
	return now.runtime;
}

static void check_policy(void)
{
	unsigned long nodes[16] = {0};
	int mode = 0;

	SCENARIO_CHECK(syscall(SYS_get_mempolicy, &mode, nodes, 1024, 0, 0) == 0, "%s", strerror(errno));
	SCENARIO_CHECK(mode == (MPOL_BIND_ | MPOL_F_STATIC_NODES_), "%d", mode);
	SCENARIO_CHECK(nodes[0] == 1, "%lx", nodes[0]);
}

/* Reads no clock: it must not look at the TSC. */
static void *second_thread(void *unused)
{
	struct sched_parameters wanted = {.size = sizeof(wanted), .runtime = SLICE_NS};
	unsigned long nodes = 1;

	(void)unused;
	SCENARIO_REQUIRE(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0, "PR_SET_TSC: %s", strerror(errno));
	SCENARIO_REQUIRE(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0, "%s", strerror(errno));
	has_policy = syscall(SYS_set_mempolicy, MPOL_BIND_ | MPOL_F_STATIC_NODES_, &nodes, 64) == 0;
	/* Before v6.12 a runtime means nothing here. */
	has_slice = syscall(SYS_sched_setattr, 0, &wanted, 0) == 0 && slice() == SLICE_NS;
	thread_done = -1;
	for (int seen = 0;; seen = round_of_thread) {
		while (round_of_thread == seen)
			usleep(1000);
		SCENARIO_CHECK(tsc_mode() == PR_TSC_SIGSEGV, "%d", tsc_mode());
		SCENARIO_CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_EARLY, "not early");
		SCENARIO_CHECK(!has_slice || slice() == SLICE_NS, "%lu", slice());
		if (has_policy)
			check_policy();
		thread_done = round_of_thread;
	}
	return NULL;
}

static void check(int round)
{
	long wanted = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;

	/* The kernel tells them since v6.3. */
	SCENARIO_CHECK(registrations() == wanted || (registrations() < 0 && errno == EINVAL), "%lx", registrations());
	SCENARIO_CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0, "%s", strerror(errno));
	if (has_mdwe) {
		SCENARIO_CHECK(prctl(GET_MDWE, 0, 0, 0, 0) == 3, "MDWE is not on");
		SCENARIO_CHECK(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
				       MAP_FAILED,
			       "writable code was mapped");
	}
	SCENARIO_CHECK(!has_merge || prctl(GET_MEMORY_MERGE, 0, 0, 0, 0) == 1, "memory merge is off");
	SCENARIO_CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == thp_mode, "not %d", thp_mode);
	SCENARIO_CHECK(!has_slots || prctl(FUTEX_HASH, 2, 0, 0, 0) == 64, "%d", prctl(FUTEX_HASH, 2, 0, 0, 0));
	SCENARIO_CHECK(tsc_mode() == PR_TSC_ENABLE, "%d", tsc_mode());
	SCENARIO_CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_DEFAULT, "not the default");
	round_of_thread = round;
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(thread_done == round, 10), "the second thread does not answer");
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	pthread_create(&thread, NULL, second_thread, NULL);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(thread_done == -1, 10), "second thread");
	SCENARIO_REQUIRE(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0, "membarrier");
	SCENARIO_REQUIRE(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0, "membarrier");
	has_merge = prctl(SET_MEMORY_MERGE, 1, 0, 0, 0) == 0;
	if (prctl(PR_SET_THP_DISABLE, 1, THP_EXCEPT_ADVISED, 0, 0))
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	thp_mode = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	has_slots = prctl(FUTEX_HASH, 1, 64, 0, 0) == 0;
	has_mdwe = prctl(SET_MDWE, 3, 0, 0, 0) == 0;
	scenario_tell("mdwe", "%d", has_mdwe);
	scenario_tell("merge", "%d", has_merge);
	scenario_tell("slice", "%d", has_slice);
	scenario_tell("policy", "%d", has_policy);
	return scenario_main(check);
}
