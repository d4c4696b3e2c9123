// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A tree of very many tasks, all of which are there still in every round.
//
//	task_many processes|threads N
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned count;
static atomic_uint there;

static void *sleep_for_ever(void *unused)
{
	atomic_fetch_add(&there, 1);
	for (;;)
		pause();
	return unused;
}

static void make_threads(void)
{
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16 << 10);
	for (unsigned i = 1; i < count; i++) {
		pthread_t thread;
		int error = pthread_create(&thread, &small, sleep_for_ever, NULL);

		if (error == EAGAIN)
			scenario_skip("only %u threads can be made here (RLIMIT_NPROC, pids.max, kernel.pid_max)", i);
		SCENARIO_REQUIRE(!error, "thread %u: %s", i, strerror(error));
	}
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(there == count - 1, 20), "%u of %u threads are there", there, count);
}

static void make_processes(void)
{
	for (unsigned i = 1; i < count; i++) {
		pid_t child = fork();

		if (child < 0 && errno == EAGAIN)
			scenario_skip("only %u processes can be made here (RLIMIT_NPROC, pids.max, kernel.pid_max)", i);
		SCENARIO_REQUIRE(child >= 0, "fork %u: %m", i);
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			sleep_for_ever(NULL);
		}
	}
}

static void check(int round)
{
	(void)round;
	SCENARIO_CHECK(waitpid(-1, NULL, WNOHANG) <= 0, "a child has ended");
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(argc == 3, "usage: task_many processes|threads N");
	count = (unsigned)atoi(argv[2]);
	if (strcmp(argv[1], "threads"))
		make_processes();
	else
		make_threads();
	return scenario_main(check);
}
