// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring that was resized (IORING_REGISTER_RESIZE_RINGS) while its old queues stay mapped: memory of the program that
// no ring has any more, next to the new queues, which work.
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define RESIZE_RINGS 33

static struct io_uring old, ring;
static unsigned posted;

static void nop(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_nop(sqe);
		sqe->user_data = ++posted;
		ring_submit(&ring, 1);
		ring_expect(&ring, posted, "nop");
	}
}

/* The last bytes of both old regions say what round it is. */
static char *mark_in(const struct io_uring *queues, int region)
{
	return region ? (char *)queues->sq.sqes + 8 * 64 - 16 : (char *)queues->sq.ring_ptr + queues->sq.ring_sz - 16;
}

static void mark(int round)
{
	for (int region = 0; region < 2; region++)
		sprintf(mark_in(&old, region), "old %d %d", region, round);
}

static void resize(void)
{
	struct io_uring_params params = {.sq_entries = 64, .cq_entries = 256, .flags = IORING_SETUP_CQSIZE};

	if (syscall(SYS_io_uring_register, old.ring_fd, RESIZE_RINGS, &params, 1)) {
		if (errno == EINVAL)
			scenario_skip("this kernel cannot resize rings (Linux 6.13)");
		SCENARIO_REQUIRE(0, "resize: %m");
	}
	params.features |= IORING_FEAT_SINGLE_MMAP;
	SCENARIO_REQUIRE(!io_uring_queue_mmap(old.ring_fd, &params, &ring), "map the new queues");
	ring.sq.sqe_head = ring.sq.sqe_tail = *ring.sq.ktail;
}

/* A child that has inherited them sees the same memory. */
static void check_shared(void)
{
	char *byte = mark_in(&old, 0) + 15;
	int status;
	pid_t child;

	*byte = 'p';
	child = fork();
	if (!child) {
		*byte = *byte == 'p' ? 'c' : '?';
		_exit(0);
	}
	SCENARIO_REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "%m");
	SCENARIO_CHECK(*byte == 'c', "the old queues are no longer shared memory: '%c'", *byte);
}

static void check(int round)
{
	char text[16];

	for (int region = 0; region < 2; region++) {
		snprintf(text, sizeof(text), "old %d %u", region & 1, (unsigned)(round - 1) % 1000);
		SCENARIO_CHECK(!strcmp(mark_in(&old, region), text), "region %d: '%.15s' in place of '%s'", region,
			       mark_in(&old, region), text);
	}
	mark(round);
	SCENARIO_CHECK(*old.sq.ktail == 3, "the old tail is %u", *old.sq.ktail);
	SCENARIO_CHECK(*ring.sq.ktail == posted && *ring.cq.ktail == posted, "counters %u and %u, not %u",
		       *ring.sq.ktail, *ring.cq.ktail, posted);
	check_shared();
}

int main(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &old, &params), "%m");
	ring = old;
	nop(3);
	old = ring;
	resize();
	mark(0);
	scenario_tell("ring", "%d", old.ring_fd);
	return scenario_main(check);
}
