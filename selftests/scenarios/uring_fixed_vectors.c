// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Vectors of parts of a registered buffer: a read and a write that wait, a read of a chain that has not begun, and what
// comes behind a drain. Argument: flags of the ring.
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define OP_READV_FIXED  60 /* Linux 6.15 */
#define OP_WRITEV_FIXED 61
#define PAGE            4096
#define LARGE           (2UL << 20)
#define PIPE_BYTES      (16 * PAGE)
#define PARTS           3

enum { READ = 1, READ_LARGE, WRITE, POLL, CHAIN_READ, DRAINED_POLL, DRAINED_READ, LAST };

static struct io_uring ring, drained;
static int pipes[LAST][2];
/* One of small pages, and one that may be of a large one. */
static char *small, *large;

/* Not in the order of their addresses; the second one goes on behind a page. */
static const struct iovec *parts_of(int what)
{
	static struct iovec parts[PARTS];
	char *base = what == READ_LARGE ? large + LARGE / 2 : small + (unsigned)what * 8 * PAGE;

	parts[0] = (struct iovec){base + 3 * PAGE + 5, 3};
	parts[1] = (struct iovec){base + PAGE - 4, 10};
	parts[2] = (struct iovec){base + 4 * PAGE + 8, 2 * PAGE - 100};
	if (what == WRITE)
		parts[2].iov_len = PAGE - 13; /* with the others as much as is free then */
	return parts;
}

static size_t length_of(int what)
{
	const struct iovec *parts = parts_of(what);

	return parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
}

static void prepare(struct io_uring *on, int what)
{
	struct iovec *passed = malloc(PARTS * sizeof(*passed));
	struct io_uring_sqe *sqe = ring_sqe(on);

	memcpy(passed, parts_of(what), PARTS * sizeof(*passed));
	io_uring_prep_rw(what == WRITE ? OP_WRITEV_FIXED : OP_READV_FIXED, sqe, pipes[what][what == WRITE], passed,
			 PARTS, 0);
	sqe->buf_index = what == READ_LARGE;
	sqe->user_data = (unsigned long long)what;
}

/* What was passed is gone. */
static void submit(struct io_uring *on, int count, struct iovec *passed)
{
	ring_submit(on, count);
	memset(passed, 0xff, PARTS * sizeof(*passed));
	free(passed);
}

static struct iovec *passed_last(struct io_uring *on)
{
	return (struct iovec *)on->sq.sqes[(on->sq.sqe_tail - 1) & *on->sq.kring_mask].addr;
}

static char byte_at(int what, size_t i)
{
	return (char)(what * 7 + i % 251);
}

static void arm(int what)
{
	if (what == WRITE) {
		size_t at = 0;

		for (int part = 0; part < PARTS; part++)
			for (size_t i = 0; i < parts_of(what)[part].iov_len; i++)
				((char *)parts_of(what)[part].iov_base)[i] = byte_at(what, at++);
	}
	prepare(&ring, what);
	submit(&ring, 1, passed_last(&ring));
}

static void arm_chain(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, pipes[POLL][0], POLLIN);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = POLL;
	prepare(&ring, CHAIN_READ);
	submit(&ring, 2, passed_last(&ring));
}

static void arm_drained(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&drained);

	io_uring_prep_poll_add(sqe, pipes[DRAINED_POLL][0], POLLIN);
	sqe->user_data = DRAINED_POLL;
	prepare(&drained, DRAINED_READ);
	drained.sq.sqes[(drained.sq.sqe_tail - 1) & *drained.sq.kring_mask].flags |= IOSQE_IO_DRAIN;
	submit(&drained, 2, passed_last(&drained));
}

static void write_to(int what)
{
	char bytes[4 * PAGE];
	size_t length = length_of(what);

	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(what, i);
	SCENARIO_REQUIRE(write(pipes[what][1], bytes, length) == (ssize_t)length, "%m");
}

static void check_parts(int what)
{
	size_t at = 0;

	for (int part = 0; part < PARTS; part++) {
		const char *bytes = parts_of(what)[part].iov_base;

		for (size_t i = 0; i < parts_of(what)[part].iov_len; i++, at++)
			if (bytes[i] != byte_at(what, at)) {
				SCENARIO_CHECK(false, "request %d: byte %zu of part %d is %d", what, i, part, bytes[i]);
				return;
			}
	}
	memset(parts_of(what)[2].iov_base, 0, 3);
}

static void check_read(struct io_uring *on, int what)
{
	write_to(what);
	ring_expect_result(on, what, (int)length_of(what));
	check_parts(what);
}

static void check_write(void)
{
	char bytes[PIPE_BYTES];
	size_t length = length_of(WRITE);

	SCENARIO_REQUIRE(read(pipes[WRITE][0], bytes, PIPE_BYTES) == PIPE_BYTES, "%m");
	ring_expect_result(&ring, WRITE, (int)length);
	SCENARIO_REQUIRE(read(pipes[WRITE][0], bytes, PIPE_BYTES) == (ssize_t)length, "%m");
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != byte_at(WRITE, i)) {
			SCENARIO_CHECK(false, "byte %zu is %d", i, bytes[i]);
			break;
		}
}

static void fill_pipe(void)
{
	static char page[PAGE];

	for (int i = 0; i < PIPE_BYTES / PAGE; i++)
		SCENARIO_REQUIRE(write(pipes[WRITE][1], page, PAGE) == PAGE, "%m");
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "at rest");
	ring_expect_nothing(&drained, "at rest");
	check_read(&ring, READ);
	arm(READ);
	check_read(&ring, READ_LARGE);
	arm(READ_LARGE);
	check_write();
	fill_pipe();
	arm(WRITE);
	put(pipes[POLL][1], "x");
	ring_expect_result(&ring, POLL, POLLIN);
	take(pipes[POLL][0]);
	check_read(&ring, CHAIN_READ);
	arm_chain();
	put(pipes[DRAINED_POLL][1], "x");
	ring_expect_result(&drained, DRAINED_POLL, POLLIN);
	take(pipes[DRAINED_POLL][0]);
	check_read(&drained, DRAINED_READ);
	arm_drained();
	ring_expect_nothing(&ring, "after the round");
}

static void register_buffers(void)
{
	struct iovec buffers[2];

	small = mmap(NULL, LAST * 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	large = mmap(NULL, 2 * LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(small != MAP_FAILED && large != MAP_FAILED, "%m");
	large += LARGE - (unsigned long)large % LARGE;
	madvise(large, LARGE, MADV_HUGEPAGE);
	memset(large, 0, LARGE);
	/* They do not begin where a page does. */
	buffers[0] = (struct iovec){small + 16, LAST * 8 * PAGE - 16};
	buffers[1] = (struct iovec){large + 5000, LARGE - 5000};
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, buffers, 2), "buffers");
	SCENARIO_REQUIRE(!io_uring_register_buffers(&drained, buffers, 2), "buffers");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};
	struct io_uring_params same = params;

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(16, &ring, &params), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(16, &drained, &same), "%m");
	if (!ring_knows(&ring, OP_READV_FIXED))
		scenario_skip("no IORING_OP_READV_FIXED");
	for (int i = 1; i < LAST; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	register_buffers();
	fill_pipe();
	for (int what = READ; what <= WRITE; what++)
		arm(what);
	arm_chain();
	arm_drained();
	return scenario_main(check);
}
