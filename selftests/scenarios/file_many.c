// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// As many eventfds as the first argument says (10,000 without one), each with its own count.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

static int count = 10000;
static int first;

static void check(int round)
{
	int wrong = 0;

	for (int i = 0; i < count; i++) {
		uint64_t value = 0;

		wrong += read(first + i, &value, 8) != 8 || value != (uint64_t)i + 1;
		wrong += write(first + i, &value, 8) != 8;
	}
	SCENARIO_CHECK(!wrong, "round %d: %d eventfds are wrong", round, wrong);
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	scenario_init();
	if (argc > 1)
		count = atoi(argv[1]);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < (rlim_t)count + 16)
		scenario_skip("RLIMIT_NOFILE is %lld", (long long)limit.rlim_max);
	for (int i = 0; i < count; i++) {
		int fd = eventfd((unsigned)i + 1, EFD_NONBLOCK);

		SCENARIO_REQUIRE(fd >= 0, "errno %d", errno);
		if (i == 0)
			first = fd;
	}
	scenario_tell("first", "%d", first);
	scenario_tell("count", "%d", count);
	return scenario_main(check);
}
