// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signals wait in the queues of a process and its thread, more than RLIMIT_SIGPENDING allows by now.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define QUEUED 3

static struct rlimit before;

static void fill(void)
{
	struct rlimit one = {.rlim_cur = 1, .rlim_max = before.rlim_max};

	SCENARIO_CHECK(setrlimit(RLIMIT_SIGPENDING, &before) == 0, "errno %d", errno);
	for (int i = 1; i <= QUEUED; i++) {
		union sigval value = {.sival_int = i};

		SCENARIO_CHECK(pthread_sigqueue(pthread_self(), SIGRTMIN, value) == 0, "of the thread: %d", i);
		SCENARIO_CHECK(sigqueue(getpid(), SIGRTMIN + 1, value) == 0, "of the process: errno %d", errno);
	}
	SCENARIO_CHECK(setrlimit(RLIMIT_SIGPENDING, &one) == 0, "errno %d", errno);
}

static void take(int round, int signal)
{
	struct timespec now = {};
	siginfo_t info = {};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	for (int i = 1; i <= QUEUED; i++) {
		SCENARIO_CHECK(sigtimedwait(&set, &info, &now) == signal, "round %d: %d of %d", round, i, QUEUED);
		SCENARIO_CHECK(info.si_value.sival_int == i, "round %d: %d", round, info.si_value.sival_int);
	}
}

static void check(int round)
{
	struct rlimit limit = {};

	SCENARIO_CHECK(getrlimit(RLIMIT_SIGPENDING, &limit) == 0 && limit.rlim_cur == 1 &&
			       limit.rlim_max == before.rlim_max,
		       "round %d: limit %lu, %lu", round, limit.rlim_cur, limit.rlim_max);
	take(round, SIGRTMIN);
	take(round, SIGRTMIN + 1);
	fill();
}

int main(void)
{
	sigset_t set;

	scenario_init();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SCENARIO_REQUIRE(getrlimit(RLIMIT_SIGPENDING, &before) == 0, "errno %d", errno);
	fill();
	return scenario_main(check);
}
