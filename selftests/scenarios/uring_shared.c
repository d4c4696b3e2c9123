// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of several processes: one that a child has inherited with its mappings and uses in turns with its parent; one
// of the child alone; and one that is left only as a mapping, its descriptor closed. An epoll instance watches the
// first.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

static struct io_uring shared, own, orphan;
static int pair[2], epoll;
static unsigned long long next = 1;

static void use_ring(struct io_uring *ring, int count, const char *what)
{
	for (int i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_sqe(ring);

		io_uring_prep_nop(sqe);
		sqe->user_data = next;
		ring_submit(ring, 1);
		SCENARIO_CHECK(!ring_expect(ring, next++, what), "%s", what);
	}
}

/* Takes the program's copies of the counters from the ring: the other process has moved them. */
static void take_turn(void)
{
	shared.sq.sqe_head = shared.sq.sqe_tail = *shared.sq.ktail;
}

static void child(void)
{
	char turn;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	SCENARIO_REQUIRE(!io_uring_queue_init(4, &own, 0), "%m");
	while (read(pair[1], &turn, 1) == 1) {
		take_turn();
		use_ring(&shared, 3, "child, shared ring");
		use_ring(&own, 5, "child, own ring");
		if (write(pair[1], &turn, 1) != 1)
			break;
	}
	_exit(0);
}

static void check(int round)
{
	struct epoll_event ready = {};
	struct io_uring_sqe *sqe;
	char turn = 't';

	use_ring(&shared, 2, "parent");
	SCENARIO_REQUIRE(write(pair[0], &turn, 1) == 1 && read(pair[0], &turn, 1) == 1, "%m");
	take_turn();
	use_ring(&shared, 2, "parent again");
	SCENARIO_CHECK(!epoll_wait(epoll, &ready, 1, 0), "round %d: ready without a completion", round);
	sqe = ring_sqe(&shared);
	io_uring_prep_nop(sqe);
	sqe->user_data = next;
	ring_submit(&shared, 1);
	SCENARIO_CHECK(epoll_wait(epoll, &ready, 1, 1000) == 1 && ready.data.u64 == 77, "epoll");
	SCENARIO_CHECK(!ring_expect(&shared, next++, "epoll"), "epoll");
	SCENARIO_CHECK(fcntl(shared.ring_fd, F_GETFL) & O_NONBLOCK, "round %d: flags", round);
	SCENARIO_CHECK(*orphan.cq.ktail == 3 && *orphan.cq.khead == 1, "orphan: %u %u", *orphan.cq.ktail,
		       *orphan.cq.khead);
	SCENARIO_CHECK(orphan.cq.cqes[1].user_data == 51 && orphan.cq.cqes[2].user_data == 52, "orphan: completions");
}

int main(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &shared, 0) && !io_uring_queue_init(8, &orphan, 0), "%m");
	for (int i = 0; i < 3; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&orphan);

		io_uring_prep_nop(sqe);
		sqe->user_data = 50 + (unsigned)i;
	}
	ring_submit(&orphan, 3);
	ring_expect(&orphan, 50, "orphan");
	close(orphan.ring_fd);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	SCENARIO_REQUIRE(!fcntl(shared.ring_fd, F_SETFL, O_NONBLOCK), "%m");
	epoll = epoll_create1(0);
	SCENARIO_REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, shared.ring_fd, &event), "%m");
	use_ring(&shared, 20, "start");
	if (!fork())
		child();
	return scenario_main(check);
}
