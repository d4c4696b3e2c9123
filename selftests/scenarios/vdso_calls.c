// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Threads that call nothing but the vDSO, through pointers that they got at the start: they are mostly inside it when
// they are stopped. Each answer lies between two of the kernel's own; those around a dump may come from different
// kernels.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

enum { THREADS = 3 };

typedef int clock_fn(clockid_t, struct timespec *);
typedef int timeofday_fn(struct timeval *, void *);
typedef time_t time_fn(time_t *);
typedef long cpu_fn(unsigned *, unsigned *, void *);

static clock_fn *vdso_clock;
static timeofday_fn *vdso_timeofday;
static time_fn *vdso_time;
static cpu_fn *vdso_cpu;
static atomic_ulong calls[THREADS];

static long long ns(const struct timespec *time)
{
	return time->tv_sec * 1000000000LL + time->tv_nsec;
}

static long long kernel_time(clockid_t clock)
{
	struct timespec now;

	syscall(SYS_clock_gettime, clock, &now);
	return ns(&now);
}

static int clock_agrees(clockid_t clock)
{
	long long before = kernel_time(clock), told;
	struct timespec now = {0};
	int err = vdso_clock(clock, &now);

	told = ns(&now);
	return !err && before <= told && told <= kernel_time(clock);
}

static int timeofday_agrees(void)
{
	long long before = kernel_time(CLOCK_REALTIME) / 1000, told;
	struct timeval now = {0};
	int err = vdso_timeofday(&now, NULL);

	told = now.tv_sec * 1000000LL + now.tv_usec;
	return !err && before <= told && told <= kernel_time(CLOCK_REALTIME) / 1000;
}

/* It is that of the last tick. */
static int time_agrees(void)
{
	long long before = kernel_time(CLOCK_REALTIME_COARSE) / 1000000000, told = vdso_time(NULL);

	return before <= told && told <= kernel_time(CLOCK_REALTIME) / 1000000000;
}

/* The thread may move between two calls, but not every time. */
static int cpu_agrees(void)
{
	unsigned cpu = ~0U, kernel = 0;

	for (int i = 0; i < 100 && cpu != kernel; i++) {
		syscall(SYS_getcpu, &kernel, NULL, NULL);
		vdso_cpu(&cpu, NULL, NULL);
	}
	return cpu == kernel;
}

static int agrees(int what)
{
	switch (what) {
	case 0:
		return clock_agrees(CLOCK_MONOTONIC);
	case 1:
		return clock_agrees(CLOCK_REALTIME);
	case 2:
		return timeofday_agrees();
	case 3:
		return time_agrees();
	default:
		return cpu_agrees();
	}
}

static void *run(void *arg)
{
	atomic_ulong *count = arg;

	for (int what = 0;; what = (what + 1) % 5) {
		/* Once more: the first answers may be those of two kernels. */
		SCENARIO_CHECK(agrees(what) || agrees(what), "call %d tells another time", what);
		atomic_fetch_add(count, 1);
	}
	return NULL;
}

static void check(int round)
{
	unsigned long before[THREADS];

	for (int i = 0; i < THREADS; i++)
		before[i] = atomic_load(&calls[i]);
	for (int i = 0; i < THREADS; i++)
		SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(&calls[i]) > before[i] + 100, 15),
			       "round %d: thread %d makes no calls", round, i);
}

int main(void)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	pthread_t thread;

	scenario_init();
	SCENARIO_REQUIRE(vdso, "no vDSO");
	vdso_clock = (clock_fn *)dlsym(vdso, "__vdso_clock_gettime");
	vdso_timeofday = (timeofday_fn *)dlsym(vdso, "__vdso_gettimeofday");
	vdso_time = (time_fn *)dlsym(vdso, "__vdso_time");
	vdso_cpu = (cpu_fn *)dlsym(vdso, "__vdso_getcpu");
	SCENARIO_REQUIRE(vdso_clock && vdso_timeofday && vdso_time && vdso_cpu, "functions are missing");
	for (int i = 0; i < THREADS; i++)
		SCENARIO_REQUIRE(!pthread_create(&thread, NULL, run, &calls[i]), "thread");
	return scenario_main(check);
}
