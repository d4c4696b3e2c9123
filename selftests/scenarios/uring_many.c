// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring with 10,000 fixed files that have no descriptor, and a poll armed on each.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define FILES 10000
#define BATCH 500

static struct io_uring ring;

static void arm(int slot)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, slot, POLLIN);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = 100000 + slot;
}

static void fill(int first)
{
	int files[BATCH];

	for (int i = 0; i < BATCH; i++) {
		files[i] = eventfd(0, EFD_CLOEXEC);
		SCENARIO_REQUIRE(files[i] >= 0, "%m");
	}
	SCENARIO_REQUIRE(io_uring_register_files_update(&ring, first, files, BATCH) == BATCH, "update files");
	for (int i = 0; i < BATCH; i++)
		close(files[i]);
	for (int i = 0; i < BATCH; i++)
		arm(first + i);
	ring_submit(&ring, BATCH);
}

/* Wakes one of them through its slot: a write to the eventfd. */
static void check(int round)
{
	static unsigned long long one = 1, count;
	int slot = round * 97 % FILES;
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_write(sqe, slot, &one, sizeof(one), 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	ring_submit(&ring, 1);
	ring_expect(&ring, 100000 + slot, "poll");
	sqe = ring_sqe(&ring);
	io_uring_prep_read(sqe, slot, &count, sizeof(count), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = 1;
	ring_submit(&ring, 1);
	SCENARIO_CHECK(ring_expect(&ring, 1, "read") == sizeof(count) && count == 1, "eventfd in slot %d", slot);
	arm(slot);
	ring_submit(&ring, 1);
	ring_expect_nothing(&ring, "after the round");
}

int main(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 2 * FILES};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(BATCH, &ring, &params), "%m");
	SCENARIO_REQUIRE(!io_uring_register_files_sparse(&ring, FILES), "sparse table");
	for (int first = 0; first < FILES; first += BATCH)
		fill(first);
	return scenario_main(check);
}
