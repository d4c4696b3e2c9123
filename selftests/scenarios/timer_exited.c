// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// POSIX timers that signal, or measure the CPU time of, a thread that has exited: they are there, and run.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 100000

enum { SIGNALS_IT, SIGNALS_ITS_CPU, MEASURES_IT, TIMERS };

static atomic_int tid, may_exit;
static int timers[TIMERS];

static void create(int index, clockid_t clock, int notify)
{
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = SIGUSR1};

	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = tid;
	SCENARIO_REQUIRE(syscall(SYS_timer_create, clock, &event, &timers[index]) == 0, "timer %d: %s", index,
			 strerror(errno));
}

static void arm(int index)
{
	struct itimerspec spec = {.it_value.tv_sec = PERIOD, .it_interval.tv_sec = PERIOD};

	SCENARIO_REQUIRE(syscall(SYS_timer_settime, timers[index], 0, &spec, NULL) == 0, "timer %d: %s", index,
			 strerror(errno));
}

static void check_time(int index, bool runs)
{
	struct itimerspec spec = {};

	SCENARIO_CHECK(syscall(SYS_timer_gettime, timers[index], &spec) == 0, "timer %d: %s", index, strerror(errno));
	SCENARIO_CHECK(spec.it_interval.tv_sec == (runs ? PERIOD : 0), "timer %d: interval %ld s", index,
		       spec.it_interval.tv_sec);
	SCENARIO_CHECK(runs ? spec.it_value.tv_sec > PERIOD - 1000 && spec.it_value.tv_sec < PERIOD
			    : !spec.it_value.tv_sec && !spec.it_value.tv_nsec,
		       "timer %d: %ld s", index, spec.it_value.tv_sec);
}

static void check(int round)
{
	struct itimerspec spec = {.it_value.tv_sec = 1};

	(void)round;
	check_time(SIGNALS_IT, true);
	check_time(SIGNALS_ITS_CPU, false);
	check_time(MEASURES_IT, false);
	SCENARIO_CHECK(syscall(SYS_timer_settime, timers[MEASURES_IT], 0, &spec, NULL) < 0 && errno == ESRCH,
		       "it measures something: errno %d", errno);
}

static void *thread_main(void *arg)
{
	create(MEASURES_IT, CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL);
	tid = gettid();
	while (!may_exit)
		scenario_sleep_ms(1);
	return arg;
}

int main(void)
{
	pthread_t thread;
	clockid_t clock;

	scenario_init();
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(tid, 10), "the thread does not start");
	SCENARIO_REQUIRE(pthread_getcpuclockid(thread, &clock) == 0, "no clock");
	create(SIGNALS_IT, CLOCK_MONOTONIC, SIGEV_THREAD_ID);
	create(SIGNALS_ITS_CPU, clock, SIGEV_THREAD_ID);
	for (int i = 0; i < TIMERS; i++)
		arm(i);
	may_exit = 1;
	pthread_join(thread, NULL);
	/* It is joined a moment before it is gone. */
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(syscall(SYS_tgkill, getpid(), tid, 0) < 0, 10), "the thread is there");
	return scenario_main(check);
}
