// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// io_uring_enter(2) that waits for a completion, for ever and for a time, on rings in which nothing is in flight.
#include <linux/time_types.h>
#include <sys/syscall.h>

#include "selftests/scenarios/uring_ring.h"
#include "selftests/scenarios/wait_threads.h"

static struct io_uring endless, timed;

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

static long run_timed(void)
{
	struct __kernel_timespec time = {WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000000L};
	struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&time};
	long result = enter(&timed, IORING_ENTER_EXT_ARG, &arg, sizeof(arg));

	SCENARIO_CHECK(time.tv_sec == WAIT_TIMEOUT_MS / 1000, "the program's timeout was changed");
	return result;
}

static struct wait waits[] = {
	{.name = "io_uring_enter", .run = run_endless, .trigger = trigger_endless},
	{.name = "io_uring_enter for a time", .run = run_timed, .error = ETIME},
};

static void check(int round)
{
	(void)round;
	waits_end(waits, 2);
	waits_start(waits, 2);
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
	waits_start(waits, 2);
	return scenario_main(check);
}
