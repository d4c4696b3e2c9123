// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests of a ring with DEFER_TASKRUN that lie with their thread, which does not come for them before the next round.
// argv[1] says which: one that waits and was cancelled, what a chain goes on with (a timeout, an fsync, a
// poll), futex waits that were woken.
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "selftests/scenarios/uring_ring.h"

#define SINGLE_ISSUER   (1U << 12)
#define DEFER_TASKRUN   (1U << 13)
#define OP_FUTEX_WAIT   51
#define OP_FUTEX_WAITV  53
#define FUTEX2_SIZE_U32 2
#define FUTEX2_PRIVATE  128
#define SYS_FUTEX_WAKE  454
#define SECONDS         3

enum { FIRST = 1, SECOND, THIRD };

static struct io_uring ring;
static int pipe_fds[2], file;
static char byte;
static unsigned word;
static struct __kernel_timespec seconds = {.tv_sec = SECONDS};
static void (*round_of)(void);
static void (*arm)(void);

static struct io_uring_sqe *sqe_for(unsigned long long user_data)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	sqe->user_data = user_data;
	return sqe;
}

/* prep clears the user_data of newer liburings. */
static void linked_nop(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_nop(sqe);
	sqe->flags = IOSQE_IO_LINK;
	sqe->user_data = FIRST;
}

static long long milliseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* --- cancelled ---------------------------------------------------------------------------------------------------- */

static void arm_cancelled(void)
{
	struct io_uring_sqe *sqe = sqe_for(0);

	io_uring_prep_read(sqe, pipe_fds[0], &byte, 1, 0);
	sqe->user_data = FIRST;
	ring_submit(&ring, 1);
	sqe = sqe_for(0);
	io_uring_prep_cancel(sqe, (void *)(long)FIRST, 0);
	sqe->user_data = SECOND;
	ring_submit(&ring, 1);
}

static void expect_cancelled(void)
{
	ring_expect_result(&ring, SECOND, 0);
	ring_expect_result(&ring, FIRST, -ECANCELED);
	put(pipe_fds[1], "x");
	ring_expect_nothing(&ring, "of what was cancelled");
	SCENARIO_CHECK(read(pipe_fds[0], &byte, 1) == 1 && byte == 'x', "the byte is gone");
}

/* --- what a chain goes on with --------------------------------------------------------------------------------------
 */

static void arm_timeout(void)
{
	struct io_uring_sqe *sqe;

	linked_nop();
	sqe = ring_sqe(&ring);
	io_uring_prep_timeout(sqe, &seconds, 0, 0);
	sqe->user_data = SECOND;
	ring_submit(&ring, 2);
}

/* It may have begun when the program was restored, which is not when we are told to go on. */
static void expect_timeout(void)
{
	long long begin = milliseconds_now();

	ring_expect_result(&ring, FIRST, 0);
	ring_expect_result(&ring, SECOND, -ETIME);
	SCENARIO_CHECK(milliseconds_now() - begin >= SECONDS * 500, "it has lasted for %lld ms",
		       milliseconds_now() - begin);
}

static void arm_fsync(void)
{
	struct io_uring_sqe *sqe;

	linked_nop();
	sqe = ring_sqe(&ring);
	io_uring_prep_fsync(sqe, file, 0);
	sqe->user_data = SECOND;
	ring_submit(&ring, 2);
}

static void expect_fsync(void)
{
	ring_expect_result(&ring, FIRST, 0);
	ring_expect_result(&ring, SECOND, 0);
	ring_expect_nothing(&ring, "after the chain");
}

static void arm_poll(void)
{
	struct io_uring_sqe *sqe;

	linked_nop();
	sqe = ring_sqe(&ring);
	io_uring_prep_poll_add(sqe, pipe_fds[0], POLLIN);
	sqe->user_data = SECOND;
	ring_submit(&ring, 2);
}

static void expect_poll(void)
{
	ring_expect_result(&ring, FIRST, 0);
	ring_expect_nothing(&ring, "of the poll");
	put(pipe_fds[1], "y");
	ring_expect_result(&ring, SECOND, POLLIN);
	SCENARIO_CHECK(read(pipe_fds[0], &byte, 1) == 1 && byte == 'y', "the byte is gone");
}

/* --- futexes --------------------------------------------------------------------------------------------------------
 */

static struct {
	unsigned long long value, address;
	unsigned flags, reserved;
} waiter;

static void wake(void)
{
	SCENARIO_REQUIRE(syscall(SYS_FUTEX_WAKE, &word, 0xffffffffUL, 8, FUTEX2_SIZE_U32 | FUTEX2_PRIVATE) >= 1, "%m");
}

static void arm_futexes(void)
{
	struct io_uring_sqe *sqe = sqe_for(FIRST);

	waiter.value = word;
	waiter.address = (unsigned long)&word;
	waiter.flags = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = OP_FUTEX_WAITV;
	sqe->addr = (unsigned long)&waiter;
	sqe->len = 1;
	sqe->user_data = FIRST;
	ring_submit(&ring, 1);
	sqe = ring_sqe(&ring);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = OP_FUTEX_WAIT;
	sqe->fd = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE;
	sqe->addr = (unsigned long)&word;
	sqe->off = word;
	sqe->addr3 = ~0U;
	sqe->flags = IOSQE_IO_LINK;
	sqe->user_data = SECOND;
	sqe = ring_sqe(&ring);
	io_uring_prep_nop(sqe);
	sqe->user_data = THIRD;
	ring_submit(&ring, 2);
	wake();
}

static void expect_futexes(void)
{
	unsigned told = 0;

	for (int i = 0; i < 3; i++) {
		struct __kernel_timespec limit = {.tv_sec = 5};
		struct io_uring_cqe *cqe = NULL;
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

		SCENARIO_REQUIRE(!err, "%s", strerror(-err));
		SCENARIO_CHECK(!cqe->res, "%llu: %d", (unsigned long long)cqe->user_data, cqe->res);
		told |= 1U << cqe->user_data;
		io_uring_cqe_seen(&ring, cqe);
	}
	SCENARIO_CHECK(told == 14, "told of %#x", told);
	ring_expect_nothing(&ring, "after the futexes");
}

static void set_up(void (*arm_it)(void), void (*expect)(void))
{
	arm = arm_it;
	round_of = expect;
	arm();
}

static void set_up_cancelled(void)
{
	set_up(arm_cancelled, expect_cancelled);
}

static void set_up_timeout(void)
{
	set_up(arm_timeout, expect_timeout);
}

static void set_up_fsync(void)
{
	file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	SCENARIO_REQUIRE(file >= 0, "%m");
	set_up(arm_fsync, expect_fsync);
}

static void set_up_poll(void)
{
	set_up(arm_poll, expect_poll);
}

static void set_up_futexes(void)
{
	if (!ring_knows(&ring, OP_FUTEX_WAITV))
		scenario_skip("no IORING_OP_FUTEX_WAITV (Linux 6.7)");
	set_up(arm_futexes, expect_futexes);
}

static void check(int round)
{
	(void)round;
	round_of();
	arm();
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"cancelled", set_up_cancelled}, {"timeout", set_up_timeout}, {"fsync", set_up_fsync},
		{"poll", set_up_poll},           {"futexes", set_up_futexes},
	};

	if (io_uring_queue_init(32, &ring, SINGLE_ISSUER | DEFER_TASKRUN))
		scenario_skip("no IORING_SETUP_DEFER_TASKRUN");
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
