// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// An epoll instance that watches one eventfd for edges under more descriptors than fit into one call of restore: all of
// them are told of an edge once, and none of what was there before.
#include "selftests/scenarios/scenario.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define ITEMS 11000

static int epoll, event;
static struct epoll_event told[ITEMS + 1];

static void check(int round)
{
	uint64_t one = 1;
	int count = epoll_wait(epoll, told, ITEMS + 1, 0);

	SCENARIO_CHECK(count == 0, "round %d: %d edges that nobody made", round, count);
	SCENARIO_CHECK(write(event, &one, sizeof(one)) == sizeof(one), "%m");
	count = epoll_wait(epoll, told, ITEMS + 1, 0);
	SCENARIO_CHECK(count == ITEMS, "round %d: %d of %d are told", round, count, ITEMS);
	SCENARIO_CHECK(epoll_wait(epoll, told, ITEMS + 1, 0) == 0, "round %d: told twice", round);
	SCENARIO_CHECK(read(event, &one, sizeof(one)) == sizeof(one), "%m");
}

int main(void)
{
	struct rlimit limit;

	scenario_init();
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < ITEMS + 16)
		scenario_skip("RLIMIT_NOFILE is %lld", (long long)limit.rlim_max);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	event = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < ITEMS; i++) {
		struct epoll_event item = {.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i};
		int fd = dup(event);

		SCENARIO_REQUIRE(fd >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &item), "%m");
	}
	return scenario_main(check);
}
