// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Forks processes that fork one each and exit a moment later, so that their children are no longer of this tree.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kBreeders = 4, kWithParentUs = 2000, kAloneUs = 20000 };

static void leave_child(void)
{
	if (fork() == 0) {
		usleep(kWithParentUs + kAloneUs);
		_exit(0);
	}
	usleep(kWithParentUs);
	_exit(0);
}

static void *breed(void *unused)
{
	for (;;) {
		pid_t pid = fork();

		if (pid == 0)
			leave_child();
		waitpid(pid, NULL, 0);
	}
	return unused;
}

static void check(int round)
{
	SCENARIO_CHECK(round > 0, "round %d", round);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	for (int i = 0; i < kBreeders; i++)
		SCENARIO_REQUIRE(pthread_create(&thread, NULL, breed, NULL) == 0, "%s", strerror(errno));
	return scenario_main(check);
}
