// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Polls of an epoll instance by a ring, one of them repeating. Arguments: flags of the ring; "told": what is ready has
// been told, and nobody has fetched it.
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum { POLL = 1, POLL_MULTI };
enum { PIPE, COUNT, TIMER, PAIR, SILENT };

static struct io_uring ring;
static int once, epoll, pipes[2][2], count, timer, pair[2];

static void arm_once(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, once, POLLIN);
	sqe->user_data = POLL;
	ring_submit(&ring, 1);
}

static void watch(int where, int fd, unsigned events, int what)
{
	struct epoll_event event = {.events = events, .data.u32 = (unsigned)what};

	SCENARIO_REQUIRE(!epoll_ctl(where, EPOLL_CTL_ADD, fd, &event), "%m");
}

static void fetch(int where, int what)
{
	struct epoll_event event = {0};

	SCENARIO_CHECK(epoll_wait(where, &event, 1, 0) == 1 && event.data.u32 == (unsigned)what, "%u in place of %d",
		       event.data.u32, what);
}

static void expect_event(int what)
{
	ring_expect_result(&ring, POLL_MULTI, POLLIN);
	fetch(epoll, what);
}

static void check(int round)
{
	struct itimerspec soon = {.it_value.tv_nsec = 1}, never = {.it_value.tv_sec = 10000};
	struct epoll_event event;

	(void)round;
	ring_expect_nothing(&ring, "at rest");
	put(pipes[0][1], "x");
	expect_event(PIPE);
	take(pipes[0][0]); /* it stays on the list of what may be ready */
	for (int times = 0; times < 2; times++) {
		SCENARIO_REQUIRE(!eventfd_write(count, 1), "%m");
		expect_event(COUNT); /* an edge: it is not read */
	}
	SCENARIO_REQUIRE(!timerfd_settime(timer, 0, &soon, NULL), "%m");
	expect_event(TIMER);
	take(timer);
	SCENARIO_REQUIRE(!timerfd_settime(timer, 0, &never, NULL), "%m");
	put(pair[1], "x");
	expect_event(PAIR);
	take(pair[0]);
	put(pipes[1][1], "x");
	ring_expect_result(&ring, POLL, POLLIN);
	fetch(once, PIPE);
	take(pipes[1][0]);
	arm_once();
	ring_expect_nothing(&ring, "after the round");
	SCENARIO_CHECK(epoll_wait(epoll, &event, 1, 0) == 0, "an event");
	put(pair[1], "y");
	expect_event(PAIR);
	take(pair[0]);
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};
	struct itimerspec never = {.it_value.tv_sec = 10000};
	struct io_uring_sqe *sqe;

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	SCENARIO_REQUIRE(!pipe(pipes[0]) && !pipe(pipes[1]) && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	once = epoll_create1(EPOLL_CLOEXEC);
	count = eventfd(0, EFD_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	SCENARIO_REQUIRE(!timerfd_settime(timer, 0, &never, NULL), "%m");
	watch(epoll, pipes[0][0], EPOLLIN, PIPE);
	watch(epoll, count, EPOLLIN | EPOLLET, COUNT);
	watch(epoll, timer, EPOLLIN, TIMER);
	watch(epoll, pair[0], EPOLLIN | EPOLLRDHUP, PAIR);
	watch(epoll, pipes[1][1], 0, SILENT);
	watch(once, pipes[1][0], EPOLLIN, PIPE);
	arm_once();
	sqe = ring_sqe(&ring);
	io_uring_prep_poll_multishot(sqe, epoll, POLLIN);
	sqe->user_data = POLL_MULTI;
	ring_submit(&ring, 1);
	if (argc > 2) {
		put(pipes[0][1], "x");
		ring_expect_result(&ring, POLL_MULTI, POLLIN);
	}
	return scenario_main(check);
}
