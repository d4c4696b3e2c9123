// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A target that does not hold still while it is being frozen: forks and reaps children, starts and joins threads, as
// fast as it can. argv[1]: so many threads that only sleep, besides.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_uint forks, threads;

static void *nothing(void *unused)
{
	return unused;
}

static void *churn_processes(void *unused)
{
	for (;;) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			_exit(5);
		SCENARIO_REQUIRE(pid > 0, "fork: %m");
		SCENARIO_CHECK(waitpid(pid, &status, 0) == pid, "waitpid: %m");
		SCENARIO_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5, "child ended with %#x", status);
		forks++;
	}
	return unused;
}

static void *churn_threads(void *unused)
{
	for (;;) {
		pthread_t thread;

		SCENARIO_REQUIRE(!pthread_create(&thread, NULL, nothing, NULL), "%m");
		SCENARIO_CHECK(!pthread_join(thread, NULL), "%m");
		threads++;
	}
	return unused;
}

// Both still make progress.
static void check(int round)
{
	unsigned forks_before = forks, threads_before = threads;

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(forks != forks_before && threads != threads_before, 5),
		       "round %d: %u forks, %u threads", round, forks, threads);
}

static void *sleep_forever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void start_sleepers(int count)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (int i = 0; i < count; i++)
		SCENARIO_REQUIRE(!pthread_create(&thread, &small, sleep_forever, NULL), "%m");
}

int main(int argc, char **argv)
{
	pthread_t first, second;

	scenario_init();
	start_sleepers(argc > 1 ? atoi(argv[1]) : 0);
	SCENARIO_REQUIRE(!pthread_create(&first, NULL, churn_processes, NULL), "%m");
	SCENARIO_REQUIRE(!pthread_create(&second, NULL, churn_threads, NULL), "%m");
	return scenario_main(check);
}
