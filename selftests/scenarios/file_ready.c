// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What an epoll instance has told and what it has not: an edge that was told is not told again, one that was not is
// told once, a one-shot item that has fired stays silent, also when its pipe hangs up, a level is told each time.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LEVEL = 1, EDGE_TOLD = 2, EDGE_NEW = 4, ONCE_FIRED = 8, ONCE_NEW = 16, PIPE_FIRED = 32 };
enum { ROUNDS = 3 };

static int epoll, edge_new;
static int writers[ROUNDS];

static int add(uint32_t events, unsigned name, uint64_t count)
{
	struct epoll_event event = {.events = events, .data.u32 = name};
	int fd = eventfd(0, 0);

	SCENARIO_REQUIRE(fd >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "errno %d", errno);
	if (count)
		SCENARIO_REQUIRE(write(fd, &count, 8) == 8, "errno %d", errno);
	return fd;
}

// The names of all items that are told, together.
static unsigned told(void)
{
	struct epoll_event events[16];
	unsigned names = 0;
	int count = epoll_wait(epoll, events, 16, 0);

	for (int i = 0; i < count; i++)
		names |= events[i].data.u32;
	return names;
}

// Its item has fired, and it is empty again. Returns the end that is written.
static int add_pipe(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = PIPE_FIRED};
	int ends[2];
	char byte = 'x';

	SCENARIO_REQUIRE(!pipe(ends) && write(ends[1], &byte, 1) == 1, "errno %d", errno);
	SCENARIO_REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), "errno %d", errno);
	SCENARIO_REQUIRE(told() == PIPE_FIRED && read(ends[0], &byte, 1) == 1, "errno %d", errno);
	return ends[1];
}

static void check(int round)
{
	uint64_t one = 1;
	unsigned names = told();
	// The one-shot item fires in the first round.
	unsigned wanted = LEVEL | EDGE_NEW | (round == 1 ? ONCE_NEW : 0);

	SCENARIO_CHECK(names == wanted, "round %d: %x, not %x", round, names, wanted);
	names = told();
	SCENARIO_CHECK(names == LEVEL, "round %d: %x again", round, names);
	if (round <= ROUNDS)
		close(writers[round - 1]);
	names = told();
	SCENARIO_CHECK(names == LEVEL, "round %d: %x after a pipe hung up", round, names);
	SCENARIO_CHECK(write(edge_new, &one, 8) == 8, "errno %d", errno);
}

int main(void)
{
	unsigned names;

	scenario_init();
	epoll = epoll_create1(0);
	for (int i = 0; i < ROUNDS; i++)
		writers[i] = add_pipe();
	add(EPOLLIN, LEVEL, 1);
	add(EPOLLIN | EPOLLET, EDGE_TOLD, 1);
	add(EPOLLIN | EPOLLONESHOT, ONCE_FIRED, 1);
	names = told();
	SCENARIO_REQUIRE(names == (LEVEL | EDGE_TOLD | ONCE_FIRED), "%x", names);
	edge_new = add(EPOLLIN | EPOLLET, EDGE_NEW, 1);
	add(EPOLLIN | EPOLLONESHOT, ONCE_NEW, 1);
	return scenario_main(check);
}
