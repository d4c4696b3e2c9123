// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A parent with a child in a PID namespace of its own: a tree that crosses the namespace's border.
#include "selftests/scenarios/scenario.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

static pid_t child;

static void check(int round)
{
	SCENARIO_CHECK(!kill(child, 0), "the child is gone in round %d", round);
}

int main(void)
{
	scenario_init();
	if (unshare(CLONE_NEWPID) < 0)
		scenario_skip("unshare(CLONE_NEWPID): %m");
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (child == 0) {
		for (;;)
			pause();
	}
	scenario_tell("child", "%d", child);
	return scenario_main(check);
}
