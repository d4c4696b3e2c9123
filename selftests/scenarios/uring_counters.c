// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counters of a ring that have come far: argv[1] is where its SQ head and CQ tail are then, reached by as many NOPs;
// the tail is argv[2] messages of another ring further. argv[3] is what the ring is set up with. Each round takes them
// 13 steps further, over the end of their 32 bits perhaps, while a read waits and two completions lie unread. argv[4]:
// "cq": it keeps no copy of the CQ's counters, "all": of none; they must stand for the same slots.
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define BATCH  256U
#define STEPS  10U
#define UNREAD 2

enum { READ = 1, LAST_NOPS = 100 };

static struct io_uring ring;
static int pipe_fds[2];
static char text[8];
static unsigned heads, messages;
static const char *rebased = "none";

/* As many NOPs at once, their completions not looked at. */
static void count_up(unsigned count)
{
	unsigned mask = *ring.sq.kring_mask, tail = *ring.sq.ktail;

	memset(ring.sq.sqes, 0, (mask + 1) * sizeof(*ring.sq.sqes));
	for (unsigned i = 0; i <= mask; i++)
		ring.sq.array[i] = i;
	while (count) {
		unsigned now = count < BATCH ? count : BATCH;

		tail += now;
		__atomic_store_n(ring.sq.ktail, tail, __ATOMIC_RELEASE);
		SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, now, 0, 0, NULL, 0) == now, "%m");
		__atomic_store_n(ring.cq.khead, *ring.cq.ktail, __ATOMIC_RELEASE);
		count -= now;
	}
	ring.sq.sqe_head = ring.sq.sqe_tail = tail;
}

/* As the completions of multishot requests are: none of this ring's own submissions. */
static void take_messages(unsigned count)
{
	struct io_uring sender;

	SCENARIO_REQUIRE(!io_uring_queue_init(BATCH, &sender, 0), "%m");
	while (count) {
		unsigned now = count < BATCH ? count : BATCH, tail = *ring.cq.ktail + now;

		for (unsigned i = 0; i < now; i++) {
			struct io_uring_sqe *sqe = ring_sqe(&sender);

			io_uring_prep_msg_ring(sqe, ring.ring_fd, 0, 0, 0);
			sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		}
		ring_submit(&sender, (int)now);
		SCENARIO_REQUIRE(!syscall(SYS_io_uring_enter, ring.ring_fd, 0, now, IORING_ENTER_GETEVENTS, NULL, 0),
				 "%m");
		SCENARIO_REQUIRE(*ring.cq.ktail == tail, "%u of %u messages", *ring.cq.ktail, tail);
		__atomic_store_n(ring.cq.khead, tail, __ATOMIC_RELEASE);
		count -= now;
	}
	io_uring_queue_exit(&sender);
}

static void arm_read(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipe_fds[0], text, sizeof(text), 0);
	sqe->user_data = READ;
	ring_submit(&ring, 1);
	heads++;
}

static void submit_nop(unsigned data)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_nop(sqe);
	sqe->user_data = data;
	ring_submit(&ring, 1);
	heads++;
}

static void expect_counters(const char *when)
{
	unsigned head = *ring.sq.khead, tail = *ring.cq.ktail, wanted = heads + messages - 1;

	SCENARIO_CHECK(head == heads && tail == wanted, "%s: %u submissions and %u completions, not %u and %u", when,
		       head, tail, heads, wanted);
}

static void take_counters(void)
{
	unsigned by;

	if (!strcmp(rebased, "all")) {
		by = *ring.sq.khead - heads;
		SCENARIO_CHECK(!(by & *ring.sq.kring_mask), "SQ: %u in place of %u", *ring.sq.khead, heads);
		heads += by;
		messages -= by;
		ring.sq.sqe_head = ring.sq.sqe_tail = *ring.sq.ktail;
	}
	by = *ring.cq.ktail - (heads + messages - 1);
	if (strcmp(rebased, "none")) {
		SCENARIO_CHECK(!(by & *ring.cq.kring_mask), "CQ: %u in place of %u", *ring.cq.ktail,
			       *ring.cq.ktail - by);
		messages += by;
	}
}

static void check(int round)
{
	unsigned nops = STEPS;

	(void)round;
	take_counters();
	expect_counters("before");
	for (unsigned i = 0; i < UNREAD; i++)
		ring_expect_result(&ring, LAST_NOPS + (int)i, 0);
	while (nops--) {
		submit_nop(nops + 2);
		ring_expect_result(&ring, (int)nops + 2, 0);
	}
	put(pipe_fds[1], "read");
	ring_expect_result(&ring, READ, 4);
	ring_expect_nothing(&ring, "after the read");
	arm_read();
	for (unsigned i = 0; i < UNREAD; i++)
		submit_nop(LAST_NOPS + i);
	expect_counters("after");
}

int main(int argc, char **argv)
{
	scenario_init();
	heads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 0;
	messages = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;
	if (argc > 4)
		rebased = argv[4];
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(BATCH, &ring, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 0), "%m");
	count_up(heads);
	take_messages(messages);
	arm_read();
	for (unsigned i = 0; i < UNREAD; i++)
		submit_nop(LAST_NOPS + i);
	return scenario_main(check);
}
