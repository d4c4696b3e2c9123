// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// POSIX timers that measure others' CPU time, that follow a clock when it is set, that have told overruns or owe some.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* So long that no period ends by itself. */
#define PERIOD (100000 * SECOND)
#define TOLD   5
#define OWED   7

static atomic_int thread_tid;
static pthread_t thread;
static pid_t child;
static long long absolute_expiry;

static struct timer {
	const char *name;
	int notify, signal, id;
	clockid_t clock;
} absolute = {.name = "absolute", .notify = SIGEV_SIGNAL, .signal = 40, .clock = CLOCK_REALTIME},
  told = {.name = "told", .notify = SIGEV_SIGNAL, .signal = 41, .clock = CLOCK_REALTIME},
  told_thread = {.name = "told by a thread", .notify = SIGEV_THREAD_ID, .signal = 42, .clock = CLOCK_REALTIME},
  owed = {.name = "owed", .notify = SIGEV_SIGNAL, .signal = 43, .clock = CLOCK_REALTIME},
  of_child = {.name = "CPU time of a child", .notify = SIGEV_SIGNAL, .signal = 44},
  of_thread = {.name = "CPU time of a thread", .notify = SIGEV_SIGNAL, .signal = 45};

static long long ns_of(struct timespec time)
{
	return time.tv_sec * SECOND + time.tv_nsec;
}

static struct timespec time_of(long long ns)
{
	return (struct timespec){ns / SECOND, ns % SECOND};
}

static long long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return ns_of(time);
}

static void create(struct timer *timer)
{
	struct sigevent event = {.sigev_notify = timer->notify, .sigev_signo = timer->signal};

	if (timer->notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = thread_tid;
	SCENARIO_REQUIRE(syscall(SYS_timer_create, timer->clock, &event, &timer->id) == 0, "%s: %s", timer->name,
			 strerror(errno));
}

static void arm(struct timer *timer, int flags, long long value, long long interval)
{
	struct itimerspec spec = {.it_value = time_of(value), .it_interval = time_of(interval)};

	SCENARIO_REQUIRE(syscall(SYS_timer_settime, timer->id, flags, &spec, NULL) == 0, "%s: %s", timer->name,
			 strerror(errno));
}

static long long remaining_of(const struct timer *timer)
{
	struct itimerspec spec = {};

	SCENARIO_CHECK(syscall(SYS_timer_gettime, timer->id, &spec) == 0, "%s: %s", timer->name, strerror(errno));
	return ns_of(spec.it_value);
}

/* As if it had been armed long ago: `periods` have passed, and half of another. */
static void arm_in_the_past(struct timer *timer, int periods)
{
	arm(timer, TIMER_ABSTIME, now(timer->clock) - periods * PERIOD - PERIOD / 2, PERIOD);
}

static int take(const struct timer *timer, siginfo_t *info)
{
	struct timespec limit = {.tv_sec = 10};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, timer->signal);
	return sigtimedwait(&set, info, &limit);
}

static void check_told(const struct timer *timer)
{
	long overrun = syscall(SYS_timer_getoverrun, timer->id);
	long long remaining = remaining_of(timer);

	SCENARIO_CHECK(overrun == TOLD, "%s: overrun %ld", timer->name, overrun);
	SCENARIO_CHECK(remaining > PERIOD / 2 - 1000 * SECOND && remaining <= PERIOD / 2, "%s: %lld", timer->name,
		       remaining);
}

static void check_owed(void)
{
	siginfo_t info = {};
	long long remaining;

	SCENARIO_CHECK(take(&owed, &info) == owed.signal, "no signal");
	SCENARIO_CHECK(info.si_code == SI_TIMER && info.si_timerid == owed.id, "code %d, timer %d", info.si_code,
		       info.si_timerid);
	SCENARIO_CHECK(info.si_overrun == OWED, "overrun %d", info.si_overrun);
	SCENARIO_CHECK(syscall(SYS_timer_getoverrun, owed.id) == OWED, "getoverrun");
	remaining = remaining_of(&owed);
	SCENARIO_CHECK(remaining > PERIOD / 2 - 1000 * SECOND && remaining <= PERIOD / 2, "remaining %lld", remaining);
	arm_in_the_past(&owed, OWED);
}

static void check_cpu(const struct timer *timer)
{
	long long remaining = remaining_of(timer);

	SCENARIO_CHECK(remaining <= 1001 * SECOND && remaining > 990 * SECOND, "%s: %lld", timer->name, remaining);
}

static void check(int round)
{
	long long before, remaining, after;

	(void)round;
	before = now(CLOCK_REALTIME);
	remaining = remaining_of(&absolute);
	after = now(CLOCK_REALTIME);
	SCENARIO_CHECK(remaining <= absolute_expiry - before && remaining >= absolute_expiry - after,
		       "%lld ns off its time", remaining - (absolute_expiry - before));
	check_told(&told);
	check_told(&told_thread);
	check_owed();
	check_cpu(&of_child);
	check_cpu(&of_thread);
}

static void *thread_main(void *arg)
{
	thread_tid = gettid();
	while (!told_thread.id)
		scenario_sleep_ms(1);
	take(&told_thread, NULL);
	told_thread.notify = 0;
	for (;;)
		pause();
	return arg;
}

int main(void)
{
	siginfo_t info;
	sigset_t all;

	scenario_init();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(thread_tid, 10), "the thread does not start");
	clock_getcpuclockid(child, &of_child.clock);
	pthread_getcpuclockid(thread, &of_thread.clock);
	create(&of_child); /* the one with ID 0 */
	create(&of_thread);
	create(&absolute);
	create(&told);
	create(&owed);
	absolute_expiry = now(CLOCK_REALTIME) + 50000 * SECOND;
	arm(&absolute, TIMER_ABSTIME, absolute_expiry, 0);
	arm_in_the_past(&told, TOLD);
	SCENARIO_REQUIRE(take(&told, &info) == told.signal, "no signal");
	arm_in_the_past(&owed, OWED);
	create(&told_thread);
	arm_in_the_past(&told_thread, TOLD);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(!told_thread.notify, 10), "the thread has no signal");
	arm(&of_child, 0, 1000 * SECOND, 0);
	arm(&of_thread, 0, 1000 * SECOND, 0);
	return scenario_main(check);
}
