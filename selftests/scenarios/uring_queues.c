// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The queues of a ring in which nothing is in flight, by hand, so that each word of them can be looked at: counters,
// completions not read, SQEs not submitted, the SQ array. argv: setup flags, SQ entries, requests per round, and how
// many of them leave out their completion.
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define NO_SQARRAY  (1U << 16)
#define UNREAD      5
#define UNSUBMITTED 2

static struct io_uring_params params;
static int fd;
static char *queues, *sqes;
static unsigned requests, silent;
/* What the program believes, as liburing has its own copies. */
static unsigned sq_tail, cq_head;
static unsigned long long next_posted, next_read;

static unsigned *word(unsigned offset)
{
	return (unsigned *)(queues + offset);
}

static unsigned load(unsigned offset)
{
	return __atomic_load_n(word(offset), __ATOMIC_ACQUIRE);
}

static size_t sqe_size(void)
{
	return params.flags & IORING_SETUP_SQE128 ? 128 : 64;
}

static size_t cqe_size(void)
{
	return params.flags & IORING_SETUP_CQE32 ? 32 : 16;
}

/* The array names the SQEs from the last to the first, which no library does. */
static unsigned sqe_index(unsigned position)
{
	unsigned slot = position & (params.sq_entries - 1);

	return params.flags & NO_SQARRAY ? slot : params.sq_entries - 1 - slot;
}

static void fill(bool completes)
{
	unsigned index = sqe_index(sq_tail);
	struct io_uring_sqe *sqe = (void *)(sqes + index * sqe_size());

	memset(sqe, 0, sqe_size());
	sqe->opcode = IORING_OP_NOP;
	sqe->user_data = completes ? 0x100000000 + next_posted++ : 1;
	sqe->flags = completes ? 0 : IOSQE_CQE_SKIP_SUCCESS;
	if (!(params.flags & NO_SQARRAY))
		*word(params.sq_off.array + 4 * (sq_tail & (params.sq_entries - 1))) = index;
	__atomic_store_n(word(params.sq_off.tail), ++sq_tail, __ATOMIC_RELEASE);
}

static void enter(unsigned count)
{
	int done = (int)syscall(SYS_io_uring_enter, fd, count, 0, IORING_ENTER_GETEVENTS, NULL, 0);

	SCENARIO_REQUIRE(done == (int)count, "submitted %d of %u: %m", done, count);
}

static void read_one(void)
{
	struct io_uring_cqe *cqe =
		(void *)(queues + params.cq_off.cqes + (cq_head & (params.cq_entries - 1)) * cqe_size());

	SCENARIO_REQUIRE(load(params.cq_off.tail) != cq_head, "no completion %llu", next_read);
	SCENARIO_CHECK(cqe->user_data == 0x100000000 + next_read, "completion of %llx in place of %llx",
		       (unsigned long long)cqe->user_data, 0x100000000 + next_read);
	SCENARIO_CHECK(!cqe->res && !cqe->flags, "result %d, flags %x", cqe->res, cqe->flags);
	next_read++;
	__atomic_store_n(word(params.cq_off.head), ++cq_head, __ATOMIC_RELEASE);
}

static void fill_queues(void)
{
	while (next_posted - next_read < UNREAD) {
		fill(true);
		enter(1);
	}
	for (int i = 0; i < UNSUBMITTED; i++)
		fill(true);
}

static void check(int round)
{
	SCENARIO_CHECK(load(params.sq_off.tail) == sq_tail, "SQ tail %u, was %u", load(params.sq_off.tail), sq_tail);
	SCENARIO_CHECK(load(params.sq_off.head) == sq_tail - UNSUBMITTED, "SQ head %u, tail %u",
		       load(params.sq_off.head), sq_tail);
	SCENARIO_CHECK(load(params.cq_off.head) == cq_head, "CQ head %u, was %u", load(params.cq_off.head), cq_head);
	SCENARIO_CHECK(load(params.cq_off.tail) == cq_head + UNREAD, "CQ tail %u, head %u", load(params.cq_off.tail),
		       cq_head);
	SCENARIO_CHECK(!load(params.sq_off.dropped) && !load(params.cq_off.overflow), "round %d: something was lost",
		       round);
	enter(UNSUBMITTED);
	/* Exactly as many as there is room for: one too many would go to the overflow list. */
	while (next_posted - next_read < params.cq_entries) {
		fill(true);
		enter(1);
	}
	SCENARIO_CHECK(!(load(params.sq_off.flags) & IORING_SQ_CQ_OVERFLOW), "less room than entries");
	while (next_read < next_posted)
		read_one();
	for (unsigned i = 0; i < requests; i++) {
		fill(i >= silent);
		enter(1);
		if (i >= silent)
			read_one();
	}
	fill_queues();
}

static void *map(size_t size, unsigned long long offset)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	SCENARIO_REQUIRE(address != MAP_FAILED, "%m");
	return address;
}

static unsigned argument(int argc, char **argv, int n, unsigned fallback)
{
	return argc > n ? (unsigned)strtoul(argv[n], NULL, 0) : fallback;
}

int main(int argc, char **argv)
{
	scenario_init();
	params.flags = argument(argc, argv, 1, 0);
	requests = argument(argc, argv, 3, 1000);
	silent = argument(argc, argv, 4, 0);
	fd = (int)syscall(SYS_io_uring_setup, argument(argc, argv, 2, 8), &params);
	if (fd < 0)
		scenario_skip("io_uring_setup with flags %#x: %m", params.flags);
	queues = map(params.cq_off.cqes + params.cq_entries * cqe_size() + params.sq_entries * 4, IORING_OFF_SQ_RING);
	sqes = map(params.sq_entries * sqe_size(), IORING_OFF_SQES);
	for (unsigned i = 0; i < requests; i++) {
		fill(i >= silent);
		enter(1);
		if (i >= silent)
			read_one();
	}
	fill_queues();
	scenario_tell("ring", "%d", fd);
	return scenario_main(check);
}
