// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reads with classic provided buffers (IORING_OP_PROVIDE_BUFFERS): two that wait, one of them with the buffer that it
// has taken; and two that repeat, and whose group has run empty. Argument: flags of the ring.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define OP_READ_MULTISHOT 49 /* Linux 6.7 */
#define SIZE              32
#define IDS               16
#define KEPT              1
#define EMPTY             2

enum { READ = 1, READ_SHORT, MANY, MANY_MORE, PROVIDE, LAST };

static struct io_uring ring;
static int pipes[LAST][2];
static char bytes[3][IDS][SIZE];
static int provided[3];

/* Gives its id. */
static int provide(int group)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int id = provided[group]++ % IDS;

	io_uring_prep_provide_buffers(sqe, bytes[group][id], SIZE, 1, group, id);
	sqe->user_data = PROVIDE;
	ring_submit(&ring, 1);
	ring_expect_result(&ring, PROVIDE, 0);
	return id;
}

static void arm(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipes[what][0], NULL, what == READ ? SIZE : what == READ_SHORT ? 5 : 0, -1);
	if (what >= MANY)
		sqe->opcode = OP_READ_MULTISHOT;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = what >= MANY ? EMPTY : KEPT;
	sqe->user_data = (unsigned long long)what;
	ring_submit(&ring, 1);
	/* A submission thread takes it later. */
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(*(volatile unsigned *)ring.sq.khead == *ring.sq.ktail, 5), "not taken");
}

static void expect(int what, const char *text, int length)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	int err, id, group = what >= MANY ? EMPTY : KEPT;

	put(pipes[what][1], text);
	err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
	SCENARIO_REQUIRE(!err, "%d: no completion: %s", what, strerror(-err));
	id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	SCENARIO_CHECK((int)cqe->user_data == what && cqe->res == length && cqe->flags & IORING_CQE_F_BUFFER,
		       "%llu: %d, flags %x", (unsigned long long)cqe->user_data, cqe->res, cqe->flags);
	SCENARIO_CHECK(what < MANY || cqe->flags & IORING_CQE_F_MORE, "%d does not repeat any more", what);
	io_uring_cqe_seen(&ring, cqe);
	SCENARIO_REQUIRE(id < IDS, "buffer %d", id);
	SCENARIO_CHECK(!memcmp(bytes[group][id], text, (size_t)length), "%d: \"%.32s\" in buffer %d", what,
		       bytes[group][id], id);
	memset(bytes[group][id], 0, SIZE);
}

static void expect_drained(int what)
{
	char rest[SIZE];

	SCENARIO_REQUIRE(read(pipes[what][0], rest, sizeof(rest)) == 3, "%m");
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
	expect(READ, "what was read", 13);
	expect(READ_SHORT, "in short", 5);
	expect_drained(READ_SHORT);
	provide(EMPTY);
	expect(MANY, "many", 4);
	provide(EMPTY);
	expect(MANY_MORE, "many more", 9);
	for (int what = READ; what <= READ_SHORT; what++) {
		provide(KEPT);
		arm(what);
	}
	provide(KEPT); /* on top of what they have taken; nobody takes it before they are done */
	expect(READ, "again", 5);
	expect(READ_SHORT, "again", 5);
	arm(READ);
	provide(KEPT);
	arm(READ_SHORT);
	ring_expect_nothing(&ring, "after");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &ring, &params), "%m");
	if (!ring_knows(&ring, OP_READ_MULTISHOT))
		scenario_skip("no IORING_OP_READ_MULTISHOT");
	for (int i = 1; i < PROVIDE; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	for (int what = READ; what <= READ_SHORT; what++) {
		provide(KEPT);
		arm(what);
	}
	provide(EMPTY);
	arm(MANY);
	arm(MANY_MORE);
	expect(MANY, "first", 5);
	return scenario_main(check);
}
