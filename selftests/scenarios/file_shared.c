// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One struct file behind several fds of two processes, and an fd table that two processes share (CLONE_FILES).
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int file, copy, owned[2];
static pid_t child, sharer;
static char stack[65536];

static int wait_for_ever(void *unused)
{
	(void)unused;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (pause() < 0)
		;
	return 0;
}

static void check(int round)
{
	SCENARIO_CHECK(lseek(file, 10 + round, SEEK_SET) == 10 + round, "errno %d", errno);
	SCENARIO_CHECK(lseek(copy, 0, SEEK_CUR) == 10 + round, "round %d: not the same struct file", round);
	SCENARIO_CHECK(kill(child, 0) == 0 && kill(sharer, 0) == 0, "round %d: a child is gone", round);
	SCENARIO_CHECK(fcntl(owned[0], F_GETOWN) == getpid(), "round %d: owner %d", round, fcntl(owned[0], F_GETOWN));
	SCENARIO_CHECK(fcntl(owned[0], F_GETSIG) == SIGRTMIN, "round %d: signal %d", round, fcntl(owned[0], F_GETSIG));
	lseek(file, 10, SEEK_SET);
}

int main(void)
{
	scenario_init();
	file = open("shared", O_CREAT | O_RDWR, 0600);
	copy = fcntl(file, F_DUPFD_CLOEXEC, 100);
	SCENARIO_REQUIRE(copy == 100 && lseek(copy, 10, SEEK_SET) == 10, "errno %d", errno);
	SCENARIO_REQUIRE(pipe(owned) == 0 && fcntl(owned[0], F_SETOWN, getpid()) == 0 &&
				 fcntl(owned[0], F_SETSIG, SIGRTMIN) == 0,
			 "errno %d", errno);
	child = fork();
	if (child == 0)
		wait_for_ever(NULL);
	sharer = clone(wait_for_ever, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
	SCENARIO_REQUIRE(child > 0 && sharer > 0, "errno %d", errno);
	scenario_tell("file", "%d", file);
	scenario_tell("child", "%d", child);
	scenario_tell("sharer", "%d", sharer);
	scenario_tell("owned", "%d", owned[0]);
	return scenario_main(check);
}
