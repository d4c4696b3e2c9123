// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Memory registered with a ring as a whole (IORING_REGISTER_MEM_REGION), the program's or the kernel's, for the
// arguments of waits or for nothing, also protected against writing, or mapped in part; and busy polling
// (IORING_REGISTER_NAPI).
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_region.h"
#include "selftests/scenarios/uring_ring.h"

enum { REGISTER_NAPI = 27 };

struct napi {
	unsigned busy_poll_to;
	unsigned char prefer_busy_poll, opcode, pad[2];
	unsigned op_param, resv;
};

static struct io_uring ring;
static char *memory;
static int of_user, for_waits, is_protected, is_cut;
static unsigned long long size = REGION_SIZE;

static void register_region(void)
{
	struct region_descriptor descriptor = {.size = size};
	struct region_registration registration = {.region_uptr = (unsigned long)&descriptor};

	if (of_user) {
		memory = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
		descriptor.user_addr = (unsigned long)memory;
		descriptor.flags = REGION_OF_USER;
	}
	registration.flags = for_waits ? REGION_FOR_WAITS : 0;
	if (syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_REGION, &registration, 1)) {
		if (errno == EINVAL)
			scenario_skip("this kernel has no memory regions (Linux 6.14)");
		/* With memory cgroups pages come one at a time (mm/page_alloc.c: alloc_pages_bulk_noprof()). */
		if (errno == ENOMEM && size > REGION_SIZE)
			scenario_skip("this kernel does not give a region as large as that");
		SCENARIO_REQUIRE(0, "register a region: %m");
	}
	if (!of_user)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.ring_fd, MAP_REGION);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Nothing completes: the wait ends by the time that the region says. */
static void check_wait(int round)
{
	unsigned offset = 4096 + (unsigned)round % 8 * sizeof(struct wait_argument);
	struct wait_argument *argument = (void *)(memory + offset);
	double before = seconds();
	long result;

	*argument = (struct wait_argument){.ts = {.tv_nsec = 20000000}, .flags = REG_WAIT_TS};
	result = syscall(SYS_io_uring_enter, ring.ring_fd, 0, 1,
			 IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ENTER_EXT_ARG_REG, offset,
			 sizeof(struct wait_argument));
	SCENARIO_CHECK(result == -1 && errno == ETIME, "the wait ended with %ld: %m", result);
	SCENARIO_CHECK(seconds() - before >= 0.02, "after %f s", seconds() - before);
}

/* Setting it tells what was set before. */
static void check_napi(void)
{
	struct napi napi = {.busy_poll_to = 40, .prefer_busy_poll = 1};

	SCENARIO_CHECK(!syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_NAPI, &napi, 1), "%m");
	SCENARIO_CHECK(napi.busy_poll_to == 40 && napi.prefer_busy_poll == 1, "it polled for %u us", napi.busy_poll_to);
}

static void check(int round)
{
	char text[32];

	if (is_cut)
		return;
	if (!memory)
		return check_napi();
	if (is_protected)
		round = 1;
	sprintf(text, "round %d", round - 1);
	SCENARIO_CHECK(!strcmp(memory, text), "'%.20s' in place of '%s'", memory, text);
	if (is_protected)
		return;
	sprintf(memory, "round %d", round);
	if (for_waits)
		check_wait(round);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	struct io_uring_params params = {};

	scenario_init();
	of_user = !strncmp(kind, "user", 4);
	for_waits = strstr(kind, "waits") != NULL;
	if (strstr(kind, "large"))
		size = 300 << 20;
	params.flags = for_waits ? IORING_SETUP_R_DISABLED : 0;
	if (strstr(kind, "issuer"))
		params.flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	if (!strcmp(kind, "napi")) {
		if (syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_NAPI,
			    &(struct napi){.busy_poll_to = 40, .prefer_busy_poll = 1}, 1))
			scenario_skip("this kernel does not poll network devices: %s", strerror(errno));
	} else {
		register_region();
		strcpy(memory, "round 0");
	}
	if (for_waits)
		SCENARIO_REQUIRE(!syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0),
				 "%m");
	is_cut = strstr(kind, "cut") != NULL;
	if (is_cut)
		SCENARIO_REQUIRE(!munmap(memory, 4096), "%m");
	is_protected = strstr(kind, "protected") != NULL;
	if (is_protected)
		SCENARIO_REQUIRE(!mprotect(memory, 4096, PROT_READ), "%m");
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
