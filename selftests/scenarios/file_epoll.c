// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Epoll: level, edge-triggered and one-shot items, one whose fd is closed while a dup keeps the file, one nested.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int outer, inner, level, edge, oneshot, closed, survivor;

static void add(int epoll, int fd, unsigned events, unsigned long long data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	SCENARIO_REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "errno %d", errno);
}

static bool is_reported(unsigned long long data)
{
	struct epoll_event events[16];
	int count = epoll_wait(outer, events, 16, 0);

	for (int i = 0; i < count; i++)
		if (events[i].data.u64 == data)
			return true;
	return false;
}

static void check(int round)
{
	unsigned long long one = 1;

	SCENARIO_CHECK(is_reported(0x1111222233334444), "round %d: the level-triggered item is silent", round);
	is_reported(0); /* takes the edge */
	SCENARIO_CHECK(!is_reported(2), "round %d: the edge comes twice", round);
	SCENARIO_CHECK(write(edge, &one, 8) == 8, "errno %d", errno);
	SCENARIO_CHECK(is_reported(2), "round %d: a new edge is not reported", round);
	SCENARIO_CHECK(!is_reported(3), "round %d: one shot, two reports", round);
	SCENARIO_CHECK(write(survivor, &one, 8) == 8, "errno %d", errno);
	SCENARIO_CHECK(is_reported(4), "round %d: the item of a closed fd is lost", round);
	SCENARIO_CHECK(is_reported(5), "round %d: the nested epoll is silent", round);
}

int main(void)
{
	struct epoll_event event;

	scenario_init();
	outer = epoll_create1(EPOLL_CLOEXEC);
	inner = epoll_create1(0);
	level = eventfd(1, 0);
	edge = eventfd(1, EFD_NONBLOCK);
	oneshot = eventfd(1, 0);
	closed = eventfd(1, EFD_NONBLOCK);
	survivor = dup(closed);
	SCENARIO_REQUIRE(survivor >= 0, "errno %d", errno);
	add(outer, oneshot, EPOLLIN | EPOLLONESHOT, 3);
	SCENARIO_REQUIRE(epoll_wait(outer, &event, 1, 0) == 1, "errno %d", errno);
	add(outer, level, EPOLLIN, 0x1111222233334444);
	add(outer, edge, EPOLLIN | EPOLLET, 2);
	add(outer, closed, EPOLLIN, 4);
	add(inner, level, EPOLLIN, 6);
	add(outer, inner, EPOLLIN, 5);
	close(closed);
	scenario_tell("outer", "%d", outer);
	scenario_tell("inner", "%d", inner);
	scenario_tell("level", "%d", level);
	scenario_tell("closed", "%d", closed);
	scenario_tell("survivor", "%d", survivor);
	return scenario_main(check);
}
