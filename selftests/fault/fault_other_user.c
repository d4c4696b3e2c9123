// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A process of root with a child of another user, to which not everybody may send signals.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static pid_t child;

static void check(int round)
{
	SCENARIO_CHECK(kill(child, 0) == 0, "round %d: %s", round, strerror(errno));
}

static void become_other(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

int main(void)
{
	scenario_init();
	child = fork();
	if (child == 0)
		become_other();
	SCENARIO_REQUIRE(child > 0, "%s", strerror(errno));
	return scenario_main(check);
}
