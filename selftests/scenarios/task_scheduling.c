// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Scheduling of two threads, and the many small settings of a process.
#include "selftests/scenarios/scenario.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOPRIO_BEST_EFFORT_3 (2 << 13 | 3)

static atomic_int thread_tid;

static int read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	int value = -1000000;

	if (file) {
		if (fscanf(file, "%i", &value) != 1)
			value = -1000000;
		fclose(file);
	}
	return value;
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	SCENARIO_REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s", path);
}

static void *thread_main(void *arg)
{
	struct sched_param param = {.sched_priority = 5};

	SCENARIO_REQUIRE(prctl(PR_SET_NAME, "second one") == 0, "name");
	SCENARIO_REQUIRE(setpriority(PRIO_PROCESS, 0, 4) == 0, "nice");
	SCENARIO_REQUIRE(sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0, "SCHED_FIFO");
	thread_tid = gettid();
	for (;;)
		pause();
	return arg;
}

static void check_threads(void)
{
	struct sched_param param = {};
	cpu_set_t cpus;

	SCENARIO_CHECK(sched_getscheduler(0) == SCHED_BATCH, "policy %d", sched_getscheduler(0));
	SCENARIO_CHECK(getpriority(PRIO_PROCESS, 0) == 7, "nice %d", getpriority(PRIO_PROCESS, 0));
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	SCENARIO_CHECK(CPU_COUNT(&cpus) == 1 && CPU_ISSET(0, &cpus), "affinity");
	SCENARIO_CHECK(prctl(PR_GET_TIMERSLACK) == 123456, "timer slack %d", prctl(PR_GET_TIMERSLACK));
	SCENARIO_CHECK(syscall(SYS_ioprio_get, 1, 0) == IOPRIO_BEST_EFFORT_3, "ioprio");
	SCENARIO_CHECK(sched_getscheduler(thread_tid) == (SCHED_FIFO | SCHED_RESET_ON_FORK), "policy of the thread");
	SCENARIO_CHECK(getpriority(PRIO_PROCESS, (id_t)thread_tid) == 4, "nice %d of the thread",
		       getpriority(PRIO_PROCESS, (id_t)thread_tid));
	sched_getparam(thread_tid, &param);
	SCENARIO_CHECK(param.sched_priority == 5, "priority %d", param.sched_priority);
	SCENARIO_CHECK(sched_getaffinity(thread_tid, sizeof(cpus), &cpus) == 0 && CPU_ISSET(0, &cpus), "affinity");
}

static void check(int round)
{
	struct rlimit limit;
	mode_t mask;

	(void)round;
	check_threads();
	SCENARIO_CHECK(read_number("/proc/self/oom_score_adj") == 321, "oom_score_adj");
	SCENARIO_CHECK(read_number("/proc/self/coredump_filter") == 0, "coredump_filter");
	mask = umask(0);
	umask(mask);
	SCENARIO_CHECK(mask == 027, "umask %o", mask);
	getrlimit(RLIMIT_NOFILE, &limit);
	SCENARIO_CHECK(limit.rlim_cur == 77 && limit.rlim_max == 99, "nofile %lu", limit.rlim_cur);
	getrlimit(RLIMIT_CORE, &limit);
	SCENARIO_CHECK(limit.rlim_cur == 4096 && limit.rlim_max == RLIM_INFINITY, "core %lu", limit.rlim_cur);
	SCENARIO_CHECK(personality(0xffffffff) == ADDR_NO_RANDOMIZE, "personality %x", personality(0xffffffff));
}

static void tell_user_pointers(void)
{
	struct robust_list_head *robust = NULL;
	size_t size = 0;
	int *clear_tid = NULL;

	syscall(SYS_get_robust_list, 0, &robust, &size);
	scenario_tell("robust_list", "%lu", (unsigned long)robust);
	prctl(PR_GET_TID_ADDRESS, &clear_tid, 0, 0, 0);
	scenario_tell("clear_child_tid", "%lu", (unsigned long)clear_tid);
	scenario_tell("thread", "%d", thread_tid);
}

int main(void)
{
	struct sched_param none = {};
	struct rlimit files = {.rlim_cur = 77, .rlim_max = 99};
	struct rlimit core = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
	pthread_t thread;
	cpu_set_t cpus;

	scenario_init();
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(thread_tid, 10), "the thread does not start");
	SCENARIO_REQUIRE(sched_setscheduler(0, SCHED_BATCH, &none) == 0, "SCHED_BATCH");
	SCENARIO_REQUIRE(setpriority(PRIO_PROCESS, 0, 7) == 0, "nice");
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	SCENARIO_REQUIRE(sched_setaffinity(0, sizeof(cpus), &cpus) == 0, "affinity");
	SCENARIO_REQUIRE(prctl(PR_SET_TIMERSLACK, 123456) == 0, "timer slack");
	SCENARIO_REQUIRE(syscall(SYS_ioprio_set, 1, 0, IOPRIO_BEST_EFFORT_3) == 0, "ioprio");
	write_text("/proc/self/oom_score_adj", "321");
	write_text("/proc/self/coredump_filter", "0");
	umask(027);
	SCENARIO_REQUIRE(setrlimit(RLIMIT_CORE, &core) == 0, "core");
	SCENARIO_REQUIRE(personality(ADDR_NO_RANDOMIZE) >= 0, "personality");
	SCENARIO_REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0, "nofile");
	tell_user_pointers();
	return scenario_main(check);
}
