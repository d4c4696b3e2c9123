// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings without an array of submissions, which newer libraries set up wherever they can, that owe completions: more
// requests have gone in than completions have come out. argv[1] says where these are: "overflow", and "sqpoll" in a
// ring with a submission thread: in the list of what did not fit; "mixed": there, every other one with flags, as
// repeating requests have them, which no request of its own can make; "deferred": they wait for the thread to come for
// them. A read waits as well.
#include <stdlib.h>
#include <time.h>

#include "selftests/scenarios/uring_ring.h"

#define NO_SQARRAY          (1U << 16)
#define SINGLE_ISSUER       (1U << 12)
#define DEFER_TASKRUN       (1U << 13)
#define INJECT_RESULT       1
#define MSG_RING_FLAGS_PASS 2
#define ENTRIES             8
#define POSTED              40
#define TIMERS              5
#define READ                1000000

static struct io_uring ring, sender;
static unsigned own_array[ENTRIES]; /* which liburing 2.3 writes to in any ring */
static int pipe_fds[2];
static char byte;
static unsigned next;
static bool injects = true;
static struct __kernel_timespec soon = {.tv_nsec = 1000000};
static void (*round_of)(void);

static void set_up(unsigned flags)
{
	struct io_uring_params params = {.flags = flags | NO_SQARRAY};
	int fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);

	if (fd < 0 && errno == EINVAL)
		scenario_skip("no IORING_SETUP_NO_SQARRAY (Linux 6.6), or none of the flags %#x", flags);
	SCENARIO_REQUIRE(fd >= 0 && !io_uring_queue_mmap(fd, &params, &ring), "%m");
	ring.flags = params.flags;
	ring.features = params.features;
	ring.enter_ring_fd = fd;
	ring.sq.array = own_array;
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
}

static void arm_read(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipe_fds[0], &byte, 1, 0);
	sqe->user_data = READ;
	ring_submit(&ring, 1);
}

static int result_of(unsigned number)
{
	return injects ? (int)(number % 5) - 2 : 0;
}

static void nop(unsigned number)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_nop(sqe);
	sqe->user_data = number;
	if (injects) {
		sqe->rw_flags = INJECT_RESULT;
		sqe->len = (unsigned)result_of(number);
	}
}

static void find_out_whether_it_injects(void)
{
	nop(1);
	ring_submit(&ring, 1);
	injects = ring_expect(&ring, 1, "first") == result_of(1);
}

static void expect_read(void)
{
	put(pipe_fds[1], "x");
	SCENARIO_CHECK(ring_expect(&ring, READ, "read") == 1 && byte == 'x', "read %x", byte);
	byte = 0;
}

static void post_many(void)
{
	arm_read();
	for (unsigned i = 0; i < POSTED; i++) {
		nop(next + i);
		ring_submit(&ring, 1);
	}
}

static void read_many(void)
{
	for (unsigned i = 0; i < POSTED; i++, next++)
		SCENARIO_CHECK(ring_expect(&ring, next, "overflow") == result_of(next), "result of %u", next);
	expect_read();
	ring_expect_nothing(&ring, "after all");
	post_many();
}

/* From another ring, as it comes from a repeating request. */
static void send_message(unsigned number)
{
	struct io_uring_sqe *sqe = ring_sqe(&sender);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_MSG_RING;
	sqe->fd = ring.ring_fd;
	sqe->off = number;
	sqe->len = number;
	sqe->rw_flags = MSG_RING_FLAGS_PASS;
	sqe->file_index = IORING_CQE_F_MORE;
	ring_submit(&sender, 1);
	SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) >= 0, "%m");
	if (ring_expect(&sender, 0, "message") == -EINVAL)
		scenario_skip("no IORING_MSG_RING_FLAGS_PASS (Linux 6.3)");
}

static void post_mixed(void)
{
	arm_read();
	for (unsigned i = 0; i < POSTED; i++) {
		if (i % 2) {
			send_message(next + i);
			continue;
		}
		nop(next + i);
		ring_submit(&ring, 1);
	}
}

static void read_mixed(void)
{
	for (unsigned i = 0; i < POSTED; i++, next++) {
		struct __kernel_timespec limit = {.tv_sec = 5};
		struct io_uring_cqe *cqe = NULL;
		int result = i % 2 ? (int)next : result_of(next);
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

		SCENARIO_REQUIRE(!err, "%u: %s", i, strerror(-err));
		SCENARIO_CHECK(cqe->user_data == next && cqe->res == result &&
				       cqe->flags == (i % 2 ? IORING_CQE_F_MORE : 0),
			       "%u: %llu, %d, %x", next, (unsigned long long)cqe->user_data, cqe->res, cqe->flags);
		io_uring_cqe_seen(&ring, cqe);
	}
	expect_read();
	ring_expect_nothing(&ring, "after all");
	post_mixed();
}

static void let_expire(void)
{
	struct timespec pause = {.tv_nsec = 30000000};

	arm_read();
	for (unsigned i = 0; i < TIMERS; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_timeout(sqe, &soon, 0, 0);
		sqe->user_data = next + i;
	}
	ring_submit(&ring, TIMERS);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void expect_expired(void)
{
	unsigned told = 0;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct __kernel_timespec limit = {.tv_sec = 5};
		struct io_uring_cqe *cqe = NULL;
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

		SCENARIO_REQUIRE(!err, "%s", strerror(-err));
		SCENARIO_CHECK(cqe->res == -ETIME, "%d", cqe->res);
		told |= 1U << (cqe->user_data - next);
		io_uring_cqe_seen(&ring, cqe);
	}
	SCENARIO_CHECK(told == (1U << TIMERS) - 1, "told of %#x", told);
	next += TIMERS;
	expect_read();
	ring_expect_nothing(&ring, "after all");
	let_expire();
}

static void set_up_list(unsigned flags)
{
	set_up(flags);
	find_out_whether_it_injects();
	post_many();
	round_of = read_many;
}

static void set_up_overflow(void)
{
	set_up_list(0);
}

static void set_up_mixed(void)
{
	set_up(SINGLE_ISSUER | DEFER_TASKRUN);
	SCENARIO_REQUIRE(!io_uring_queue_init(ENTRIES, &sender, 0), "%m");
	find_out_whether_it_injects();
	post_mixed();
	round_of = read_mixed;
}

static void set_up_sqpoll(void)
{
	set_up_list(IORING_SETUP_SQPOLL);
}

static void set_up_deferred(void)
{
	set_up(SINGLE_ISSUER | DEFER_TASKRUN);
	let_expire();
	round_of = expect_expired;
}

static void check(int round)
{
	(void)round;
	round_of();
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"overflow", set_up_overflow},
		{"sqpoll", set_up_sqpoll},
		{"mixed", set_up_mixed},
		{"deferred", set_up_deferred},
	};

	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
