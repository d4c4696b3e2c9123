// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Waits for one word that have found different values there, alone and among others, and one that looks at it only
// when its turn comes: each is told what it would have been.
#include <linux/futex.h>
#include <stdint.h>

#include "selftests/scenarios/uring_ring.h"

/* Newer than liburing 2.3. */
#define OP_FUTEX_WAIT  51
#define OP_FUTEX_WAITV 53
#define WAIT_FLAGS     (2 | FUTEX_PRIVATE_FLAG) /* FUTEX2_SIZE_U32 */

enum { FIRST = 1, SECOND, VECTOR, READ, TOO_LATE, IN_TIME_READ, IN_TIME };

struct waitv { /* struct futex_waitv */
	uint64_t value, address;
	uint32_t flags, reserved;
};

static struct io_uring ring;
static int pipes[2][2];
static uint32_t word, other;
static char byte;

static void prepare_wait(struct io_uring_sqe *sqe, int what, uint32_t value, uint64_t mask)
{
	io_uring_prep_rw(OP_FUTEX_WAIT, sqe, WAIT_FLAGS, &word, 0, value);
	sqe->addr3 = mask;
	sqe->user_data = (unsigned)what;
}

static void wait_for_both(void)
{
	struct waitv waits[2] = {{other, (uintptr_t)&other, WAIT_FLAGS, 0}, {word, (uintptr_t)&word, WAIT_FLAGS, 0}};
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_rw(OP_FUTEX_WAITV, sqe, 0, waits, 2, 0);
	sqe->user_data = VECTOR;
	ring_submit(&ring, 1);
}

static void wait_after_read(int pipe, int what, uint32_t value)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipes[pipe][0], &byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = (unsigned)what - 1;
	prepare_wait(ring_sqe(&ring), what, value, 8);
	ring_submit(&ring, 2);
}

static void arm(void)
{
	uint32_t start = word;

	for (int what = FIRST; what <= SECOND; what++) {
		prepare_wait(ring_sqe(&ring), what, word, (unsigned)what);
		ring_submit(&ring, 1);
		word++;
	}
	wait_for_both();
	word++;
	wait_after_read(0, TOO_LATE, start);
	wait_after_read(1, IN_TIME, word + 1);
}

static void wake(int what, uint32_t mask)
{
	long woken = syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, mask);

	SCENARIO_CHECK(woken == 1, "%d: woken %ld", what, woken);
	ring_expect_result(&ring, what, 0);
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "at rest");
	wake(SECOND, SECOND);
	wake(FIRST, FIRST);
	SCENARIO_CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 1, "one is left");
	ring_expect_result(&ring, VECTOR, 1);
	put(pipes[0][1], "x");
	ring_expect_result(&ring, READ, 1);
	ring_expect_result(&ring, TOO_LATE, -EAGAIN);
	word++;
	put(pipes[1][1], "x");
	ring_expect_result(&ring, IN_TIME_READ, 1);
	ring_expect_nothing(&ring, "it waits");
	wake(IN_TIME, 8);
	arm();
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0) && !pipe(pipes[0]) && !pipe(pipes[1]), "%m");
	if (!ring_knows(&ring, OP_FUTEX_WAIT))
		scenario_skip("no IORING_OP_FUTEX_WAIT (v6.7)");
	arm();
	return scenario_main(check);
}
