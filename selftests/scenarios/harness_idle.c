// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The smallest program: one thread, nothing open. With the argument "fail" its second round does not hold; with "die"
// it dies there.
#include "selftests/scenarios/scenario.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *misbehaviour = "";

static void check(int round)
{
	if (round == 2 && !strcmp(misbehaviour, "die"))
		_exit(3);
	SCENARIO_CHECK(round != 2 || strcmp(misbehaviour, "fail") != 0, "round %d was to fail", round);
	for (int fd = 3; fd < 1024; fd++)
		SCENARIO_CHECK(fcntl(fd, F_GETFD) < 0, "descriptor %d was inherited", fd);
	SCENARIO_CHECK(getsid(0) == getpid(), "session %d", getsid(0));
}

int main(int argc, char **argv)
{
	scenario_init();
	if (argc > 1)
		misbehaviour = argv[1];
	if (!strcmp(misbehaviour, "skip"))
		scenario_skip("this kernel lacks %s", "nothing");
	SCENARIO_REQUIRE(strcmp(misbehaviour, "unready") != 0, "was to fail");
	scenario_tell("answer", "%d", 42);
	return scenario_main(check);
}
