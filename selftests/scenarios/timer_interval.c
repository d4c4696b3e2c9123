// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// setitimer(2): real, virtual and profiling time; with "pending" the real one has expired and its SIGALRM waits.
#include "selftests/scenarios/scenario.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static bool pending;
static struct timespec start;

/* Rounded up. */
static long seconds_since_start(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start.tv_sec + 1;
}

static void check(int round)
{
	struct itimerval value;
	sigset_t set;

	(void)round;
	getitimer(ITIMER_VIRTUAL, &value);
	SCENARIO_CHECK(value.it_value.tv_sec >= 390 && value.it_value.tv_sec <= 400, "virtual %ld",
		       value.it_value.tv_sec);
	SCENARIO_CHECK(value.it_interval.tv_usec == 0, "virtual interval");
	getitimer(ITIMER_PROF, &value);
	SCENARIO_CHECK(value.it_value.tv_sec >= 490 && value.it_value.tv_sec <= 500, "prof %ld", value.it_value.tv_sec);
	SCENARIO_CHECK(value.it_interval.tv_usec == 250000, "prof interval");
	getitimer(ITIMER_REAL, &value);
	SCENARIO_CHECK(value.it_interval.tv_sec == 7, "real interval %ld", value.it_interval.tv_sec);
	sigpending(&set);
	SCENARIO_CHECK(sigismember(&set, SIGALRM) == pending, "SIGALRM");
	/* Between dump and restore its time stands still: never is more gone than has passed. */
	if (!pending)
		SCENARIO_CHECK(value.it_value.tv_sec >= 300 - seconds_since_start() && value.it_value.tv_sec <= 300,
			       "real %ld after %ld s", value.it_value.tv_sec, seconds_since_start());
}

int main(int argc, char **argv)
{
	struct itimerval real = {.it_value.tv_sec = 300, .it_interval.tv_sec = 7};
	struct itimerval virtual = {.it_value.tv_sec = 400};
	struct itimerval prof = {.it_value.tv_sec = 500, .it_interval.tv_usec = 250000};
	sigset_t set;

	scenario_init();
	pending = argc > 1 && !strcmp(argv[1], "pending");
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pending)
		real.it_value = (struct timeval){.tv_usec = 1000};
	clock_gettime(CLOCK_MONOTONIC, &start);
	SCENARIO_REQUIRE(setitimer(ITIMER_REAL, &real, NULL) == 0, "real");
	SCENARIO_REQUIRE(setitimer(ITIMER_VIRTUAL, &virtual, NULL) == 0, "virtual");
	SCENARIO_REQUIRE(setitimer(ITIMER_PROF, &prof, NULL) == 0, "prof");
	if (pending)
		scenario_sleep_ms(20);
	return scenario_main(check);
}
