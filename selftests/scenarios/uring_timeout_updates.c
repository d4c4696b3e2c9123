// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Timeouts that were to expire in a quarter of an hour, and of which updates have made two seconds, given in another
// way than the first time: none of them expires before that, and all of them do then.
#include <time.h>

#include "selftests/scenarios/uring_ring.h"

#define REALTIME (1U << 3) /* IORING_TIMEOUT_REALTIME */
#define ABS      IORING_TIMEOUT_ABS
#define SECOND   1000000000LL

static const struct {
	int linked;
	unsigned flags, update;
} cases[] = {
	{0, ABS, 0}, {0, ABS | REALTIME, 0}, {0, REALTIME, ABS}, {0, 0, ABS},      {1, ABS, ABS},
	{1, ABS, 0}, {1, ABS | REALTIME, 0}, {1, REALTIME, ABS}, {1, REALTIME, 0}, {1, 0, ABS},
};

#define CASES  ((int)(sizeof(cases) / sizeof(cases[0])))
#define READ   100
#define UPDATE 200

static struct io_uring ring;
static int pipe_fds[2], completions;
static char byte;
static long long deadline;

static long long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static struct __kernel_timespec after(unsigned flags, unsigned clock, long long time)
{
	if (flags & ABS)
		time += now(clock & REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC);
	return (struct __kernel_timespec){.tv_sec = time / SECOND, .tv_nsec = time % SECOND};
}

static void arm(int what)
{
	struct __kernel_timespec far = after(cases[what].flags, cases[what].flags, 900 * SECOND);
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	if (cases[what].linked) {
		io_uring_prep_read(sqe, pipe_fds[0], &byte, 1, 0);
		sqe->flags |= IOSQE_IO_LINK;
		sqe->user_data = (unsigned)what + READ;
		sqe = ring_sqe(&ring);
		io_uring_prep_link_timeout(sqe, &far, cases[what].flags);
	} else {
		io_uring_prep_timeout(sqe, &far, 0, cases[what].flags);
	}
	sqe->user_data = (unsigned)what;
	ring_submit(&ring, cases[what].linked + 1);
	completions += cases[what].linked + 1;
}

static void update(int what)
{
	struct __kernel_timespec soon = after(cases[what].update, cases[what].flags, 2 * SECOND);
	unsigned linked = cases[what].linked ? 1U << 4 : 0; /* IORING_LINK_TIMEOUT_UPDATE */
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_timeout_update(sqe, &soon, (unsigned)what, cases[what].update | linked);
	sqe->user_data = UPDATE;
	ring_submit(&ring, 1);
	ring_expect_result(&ring, UPDATE, 0);
}

static void arm_all(void)
{
	deadline = now(CLOCK_MONOTONIC) + 2 * SECOND;
	for (int what = 0; what < CASES; what++) {
		arm(what);
		update(what);
	}
}

static void check(int round)
{
	struct __kernel_timespec limit = {.tv_sec = 6};

	(void)round;
	for (; completions; completions--) {
		struct io_uring_cqe *cqe = NULL;
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

		SCENARIO_REQUIRE(!err, "%d are still to come: %s", completions, strerror(-err));
		SCENARIO_CHECK(now(CLOCK_MONOTONIC) >= deadline, "%d comes early", (int)cqe->user_data);
		SCENARIO_CHECK(cqe->res == (cqe->user_data < READ ? -ETIME : -ECANCELED), "%d: %d", (int)cqe->user_data,
			       cqe->res);
		io_uring_cqe_seen(&ring, cqe);
	}
	ring_expect_nothing(&ring, "each is told once");
	arm_all();
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(64, &ring, 0) && !pipe(pipe_fds), "%m");
	arm_all();
	return scenario_main(check);
}
