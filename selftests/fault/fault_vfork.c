// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread that waits in vfork() for a child that does not exec. The kernel's wait_for_vfork_done() is killable, not
// interruptible.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t child;

static void *wait_in_vfork(void *unused)
{
	pid_t pid = vfork();

	if (pid == 0) {
		child = getpid();
		pause();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return unused;
}

static void check(int round)
{
	SCENARIO_CHECK(!kill(child, 0), "the child is gone in round %d", round);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, wait_in_vfork, NULL), "%m");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(child != 0, 5), "no child");
	return scenario_main(check);
}
