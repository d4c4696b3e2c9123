// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is registered with a ring and nothing else shows: files whose descriptors are closed, tags, buffers, a
// personality, an eventfd; and what is in its queues: SQEs not submitted, CQEs not read, CQEs that found no room, in
// their order.
#include <fcntl.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing/barrier.h>

#include "selftests/scenarios/uring_ring.h"

#define ENTRIES     4
#define CQ_ENTRIES  8
#define OVERFLOWED  3
#define UNSUBMITTED 2
#define GROUPS      100

static struct io_uring ring, queues;
static char *buffers;
static int event;
static unsigned long long next_posted, next_read;

static void register_all(void)
{
	struct io_uring_rsrc_register rsrc = {.nr = 3};
	int files[3] = {open("hidden", O_RDWR | O_CREAT, 0600), -1, eventfd(5, 0)};
	unsigned long long tags[3] = {77, 0, 0};
	gid_t groups[GROUPS];
	struct iovec iov[2];

	SCENARIO_REQUIRE(files[0] >= 0 && files[2] >= 0, "%m");
	SCENARIO_REQUIRE(write(files[0], "hidden content", 14) == 14, "%m");
	SCENARIO_REQUIRE(!io_uring_register_files_tags(&ring, files, tags, rsrc.nr), "register files");
	close(files[0]);
	close(files[2]);
	buffers = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(buffers != MAP_FAILED, "%m");
	iov[0] = (struct iovec){buffers, 4096};
	iov[1] = (struct iovec){buffers + 8192, 100};
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, iov, 2), "register buffers");
	for (gid_t i = 0; i < GROUPS; i++)
		groups[i] = 5000 + i;
	SCENARIO_REQUIRE(!setgroups(GROUPS, groups), "%m");
	SCENARIO_REQUIRE(io_uring_register_personality(&ring) == 1, "register personality");
	event = eventfd(0, EFD_NONBLOCK);
	SCENARIO_REQUIRE(!io_uring_register_eventfd(&ring, event), "register eventfd");
	scenario_tell("buffers", "%lu", (unsigned long)buffers);
	scenario_tell("event", "%d", event);
}

static void post(int count)
{
	for (int i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&queues);

		io_uring_prep_nop(sqe);
		sqe->user_data = 1000 + next_posted++;
		ring_submit(&queues, 1);
	}
}

/* SQEs in memory with the tail moved past them, as a program has them between filling and submitting. */
static void leave_unsubmitted(void)
{
	struct io_uring_sq *sq = &queues.sq;
	unsigned tail = *sq->ktail, mask = *sq->kring_mask;

	for (int i = 0; i < UNSUBMITTED; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&queues);

		io_uring_prep_nop(sqe);
		sqe->user_data = 1000 + next_posted++;
	}
	for (; sq->sqe_head != sq->sqe_tail; sq->sqe_head++)
		sq->array[tail++ & mask] = sq->sqe_head & mask;
	io_uring_smp_store_release(sq->ktail, tail);
}

static void read_all(int count)
{
	for (int i = 0; i < count; i++)
		ring_expect(&queues, 1000 + next_read++, "order");
	ring_expect_nothing(&queues, "all read");
}

static void check_hidden_file(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	eventfd_t count = 0;

	io_uring_prep_read_fixed(sqe, 0, buffers, 14, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->personality = 1;
	sqe->user_data = 5;
	ring_submit(&ring, 1);
	SCENARIO_CHECK(ring_expect(&ring, 5, "read of the hidden file") == 14, "short");
	SCENARIO_CHECK(!memcmp(buffers, "hidden content", 14), "content");
	SCENARIO_CHECK(!eventfd_read(event, &count) && count == 1, "eventfd says %llu", (unsigned long long)count);
}

static void check(int round)
{
	check_hidden_file();
	SCENARIO_CHECK(io_uring_submit(&queues) == UNSUBMITTED, "round %d: SQEs were lost", round);
	read_all(CQ_ENTRIES + OVERFLOWED + UNSUBMITTED);
	post(CQ_ENTRIES + OVERFLOWED);
	leave_unsubmitted();
}

int main(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = CQ_ENTRIES};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(ENTRIES, &queues, &params), "%m");
	register_all();
	post(CQ_ENTRIES + OVERFLOWED);
	leave_unsubmitted();
	scenario_tell("ring", "%d", ring.ring_fd);
	scenario_tell("queues", "%d", queues.ring_fd);
	return scenario_main(check);
}
