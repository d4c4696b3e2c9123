// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// io_uring_enter(2) that waits for a completion, for ever and for a time, on rings in which nothing is in flight.
#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "selftests/scenarios/uring_region.h"
#include "selftests/scenarios/uring_ring.h"
#include "selftests/scenarios/wait_threads.h"

#define FEATURE_MIN_TIMEOUT (1U << 15)

static struct io_uring endless, timed, halves;

static struct region {
	struct io_uring ring;
	void *memory;
} own, kernel;

static long enter(const struct io_uring *ring, unsigned flags, const void *arg, size_t size)
{
	return syscall(SYS_io_uring_enter, ring->ring_fd, 0, 1, IORING_ENTER_GETEVENTS | flags, arg, size);
}

static long run_endless(void)
{
	return enter(&endless, 0, NULL, 0);
}

static void trigger_endless(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&endless);

	io_uring_prep_nop(sqe);
	sqe->user_data = 7;
	ring_submit(&endless, 1);
	ring_expect(&endless, 7, "nop");
}

static struct __kernel_timespec timeout(void)
{
	return (struct __kernel_timespec){WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000000L};
}

static long run_timed(void)
{
	struct __kernel_timespec time = timeout();
	struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&time};
	long result = enter(&timed, IORING_ENTER_EXT_ARG, &arg, sizeof(arg));

	SCENARIO_CHECK(time.tv_sec == WAIT_TIMEOUT_MS / 1000, "the program's timeout was changed");
	return result;
}

/* It may end with less than it waits for after a first part of the time (Linux 6.12, else all of it is one). */
static long run_two_times(void)
{
	struct __kernel_timespec time = timeout();
	struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&time, .pad = 100000}; /* min_wait_usec */

	if (!(halves.features & FEATURE_MIN_TIMEOUT))
		arg.pad = 0;
	return enter(&halves, IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
}

static long run_registered(const struct region *region)
{
	const unsigned offset = 128;
	struct wait_argument *argument = (void *)((char *)region->memory + offset);
	long result;

	*argument = (struct wait_argument){.ts = timeout(), .flags = REG_WAIT_TS};
	result = enter(&region->ring, IORING_ENTER_EXT_ARG | ENTER_EXT_ARG_REG, (void *)(uintptr_t)offset,
		       sizeof(*argument));
	SCENARIO_CHECK(argument->ts.tv_sec == timeout().tv_sec && argument->ts.tv_nsec == timeout().tv_nsec,
		       "the program's timeout was changed");
	return result;
}

static long run_registered_own(void)
{
	return run_registered(&own);
}

static long run_registered_kernel(void)
{
	return run_registered(&kernel);
}

static struct wait waits[] = {
	{.name = "io_uring_enter", .run = run_endless, .trigger = trigger_endless},
	{.name = "io_uring_enter for a time", .run = run_timed, .error = ETIME},
	{.name = "io_uring_enter for a time in two parts", .run = run_two_times, .error = ETIME},
	{.name = "io_uring_enter for a time in registered memory of its own",
	 .run = run_registered_own,
	 .error = ETIME},
	{.name = "io_uring_enter for a time in registered memory of the kernel",
	 .run = run_registered_kernel,
	 .error = ETIME},
};
static int wait_count = sizeof(waits) / sizeof(waits[0]);

static void check(int round)
{
	(void)round;
	waits_again(waits, wait_count);
}

/* False: this kernel has none. */
static bool make_region(struct region *region, bool of_kernel)
{
	struct region_descriptor descriptor = {.size = REGION_SIZE};
	struct region_registration registration = {.region_uptr = (uintptr_t)&descriptor, .flags = REGION_FOR_WAITS};

	SCENARIO_REQUIRE(!io_uring_queue_init(8, &region->ring, IORING_SETUP_R_DISABLED), "a ring");
	if (!of_kernel) {
		region->memory = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		descriptor.user_addr = (uintptr_t)region->memory;
		descriptor.flags = REGION_OF_USER;
	}
	if (syscall(SYS_io_uring_register, region->ring.ring_fd, REGISTER_REGION, &registration, 1))
		return false;
	if (of_kernel)
		region->memory =
			mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, region->ring.ring_fd, MAP_REGION);
	SCENARIO_REQUIRE(region->memory != MAP_FAILED, "%m");
	return !syscall(SYS_io_uring_register, region->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int main(int argc, char **argv)
{
	int err;

	scenario_init();
	if (argc > 1)
		wait_timeout_ms = atoi(argv[1]);
	err = io_uring_queue_init(8, &endless, 0);
	if (err)
		scenario_skip("no io_uring: %s", strerror(-err));
	SCENARIO_REQUIRE(io_uring_queue_init(8, &timed, 0) == 0, "a second ring");
	SCENARIO_REQUIRE(io_uring_queue_init(8, &halves, 0) == 0, "a third ring");
	if (!make_region(&own, false) || !make_region(&kernel, true)) {
		scenario_tell("registered", "no memory regions (Linux 6.14)");
		wait_count = 3;
	}
	waits_start(waits, wait_count);
	return scenario_main(check);
}
