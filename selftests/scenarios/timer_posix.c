// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// POSIX timers with sparse ids: clocks, intervals, notifications, overrun, CPU clocks, one-shot, disarmed and due ones.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS     77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF 0
#define PR_TIMER_CREATE_RESTORE_IDS_ON  1
#endif

#define SECOND 1000000000LL

static atomic_int thread_tid;
static struct timespec started;

/* glibc's timer_t is an address for SIGEV_THREAD only; ids are the kernel's here. */
struct timer {
	const char *name;
	clockid_t clock;
	int id; /* asked for, -1: any */
	int notify;
	int signal;
	long long first, interval;
} timers[] = {
	{"far", CLOCK_MONOTONIC, 7, SIGEV_SIGNAL, 40, 1000 * SECOND, 0},
	{"sparse", CLOCK_REALTIME, 1234567, SIGEV_SIGNAL, 41, 2000 * SECOND, 30 * SECOND},
	{"boottime", CLOCK_BOOTTIME, 500, SIGEV_NONE, 0, 3000 * SECOND, 0},
	{"thread", CLOCK_MONOTONIC, 501, SIGEV_THREAD_ID, 42, 4000 * SECOND, 0},
	{"process_cpu", CLOCK_PROCESS_CPUTIME_ID, 502, SIGEV_SIGNAL, 43, 5000 * SECOND, 0},
	{"thread_cpu", CLOCK_THREAD_CPUTIME_ID, 503, SIGEV_SIGNAL, 44, 6000 * SECOND, 0},
	{"disarmed", CLOCK_TAI, 504, SIGEV_SIGNAL, 45, 0, 0},
	{"overrun", CLOCK_MONOTONIC, 505, SIGEV_SIGNAL, 46, SECOND / 100, SECOND / 100},
	{"once", CLOCK_MONOTONIC, 506, SIGEV_SIGNAL, 47, SECOND / 100, 0},
	{"tai", CLOCK_TAI, 507, SIGEV_SIGNAL, 48, 7000 * SECOND, 40 * SECOND},
	{"alarm", CLOCK_REALTIME_ALARM, 508, SIGEV_NONE, 0, 8000 * SECOND, 0},
	{"boottime_alarm", CLOCK_BOOTTIME_ALARM, 509, SIGEV_SIGNAL, 49, 9000 * SECOND, 50 * SECOND},
};

#define ALARMS 2

static unsigned timer_count = sizeof(timers) / sizeof(timers[0]);

static int create(struct timer *timer)
{
	struct sigevent event = {.sigev_notify = timer->notify, .sigev_signo = timer->signal};
	int id = timer->id;

	event.sigev_value.sival_ptr = (void *)(0x123456789000 + timer->signal);
	if (timer->notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = thread_tid;
	if (syscall(SYS_timer_create, timer->clock, &event, &id))
		return -1;
	return id;
}

static void set(struct timer *timer)
{
	struct itimerspec spec = {};

	spec.it_value.tv_sec = timer->first / SECOND;
	spec.it_value.tv_nsec = timer->first % SECOND;
	spec.it_interval.tv_sec = timer->interval / SECOND;
	spec.it_interval.tv_nsec = timer->interval % SECOND;
	SCENARIO_REQUIRE(syscall(SYS_timer_settime, timer->id, 0, &spec, NULL) == 0, "%s", timer->name);
}

static long long nanoseconds(struct timespec time)
{
	return time.tv_sec * SECOND + time.tv_nsec;
}

static long long elapsed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return nanoseconds(now) - nanoseconds(started);
}

static void check_timer(const struct timer *timer)
{
	struct itimerspec spec = {};
	long long value;

	SCENARIO_CHECK(syscall(SYS_timer_gettime, timer->id, &spec) == 0, "%s: %s", timer->name, strerror(errno));
	value = nanoseconds(spec.it_value);
	SCENARIO_CHECK(nanoseconds(spec.it_interval) == timer->interval, "%s: interval %lld", timer->name,
		       nanoseconds(spec.it_interval));
	if (timer->first < SECOND) {
		SCENARIO_CHECK((value > 0) == (timer->interval > 0), "%s: %lld", timer->name, value);
		return;
	}
	/* Time spent as an image does not count; what has passed never comes back. */
	SCENARIO_CHECK(value <= timer->first, "%s: %lld", timer->name, value);
	SCENARIO_CHECK(value >= timer->first - elapsed() - SECOND, "%s: %lld", timer->name, value);
}

static void check_signal(const struct timer *timer)
{
	struct timespec now = {};
	siginfo_t info = {};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, timer->signal);
	SCENARIO_CHECK(sigtimedwait(&set, &info, &now) == timer->signal, "%s: no signal", timer->name);
	SCENARIO_CHECK(info.si_code == SI_TIMER, "%s: code %d", timer->name, info.si_code);
	SCENARIO_CHECK(info.si_timerid == timer->id, "%s: timer %d", timer->name, info.si_timerid);
	SCENARIO_CHECK((info.si_overrun > 0) == (timer->interval > 0), "%s: overrun %d", timer->name, info.si_overrun);
	SCENARIO_CHECK(syscall(SYS_timer_getoverrun, timer->id) == info.si_overrun, "%s: getoverrun", timer->name);
	SCENARIO_CHECK(info.si_ptr == (void *)(0x123456789000 + timer->signal), "%s: value", timer->name);
}

static void check(int round)
{
	(void)round;
	for (unsigned i = 0; i < timer_count; i++)
		check_timer(&timers[i]);
	for (unsigned i = 0; i < timer_count; i++) {
		if (!timers[i].first || timers[i].first >= SECOND)
			continue;
		check_signal(&timers[i]);
		set(&timers[i]);
	}
	/* The next dump finds them expired again. */
	scenario_sleep_ms(50);
}

static void *thread_main(void *arg)
{
	thread_tid = gettid();
	for (;;)
		pause();
	return arg;
}

/* They need a clock that can wake the machine. */
static void drop_alarms(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	int id = 600;

	if (syscall(SYS_timer_create, CLOCK_REALTIME_ALARM, &event, &id)) {
		fprintf(stderr, "no timers of alarm clocks here: %s\n", strerror(errno));
		timer_count -= ALARMS;
	} else {
		syscall(SYS_timer_delete, id);
	}
	scenario_tell("timers", "%u", timer_count);
}

int main(void)
{
	pthread_t thread;
	sigset_t all;

	scenario_init();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(thread_tid, 10), "the thread does not start");
	if (prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0))
		scenario_skip("PR_TIMER_CREATE_RESTORE_IDS: %s", strerror(errno));
	clock_gettime(CLOCK_MONOTONIC, &started);
	drop_alarms();
	for (unsigned i = 0; i < timer_count; i++) {
		SCENARIO_REQUIRE(create(&timers[i]) == timers[i].id, "%s: %s", timers[i].name, strerror(errno));
		if (timers[i].first)
			set(&timers[i]);
		scenario_tell(timers[i].name, "%d", timers[i].id);
	}
	prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0);
	scenario_tell("thread_id", "%d", thread_tid);
	scenario_sleep_ms(100);
	return scenario_main(check);
}
