// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Waits on futexes of every kind, for ever and for a time: bitset, waitv, priority inheritance, and a robust mutex
// whose owner ends without giving it back.
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "selftests/scenarios/wait_threads.h"

#ifndef FUTEX_32
#define FUTEX_32 2
struct futex_waitv {
	uint64_t val;
	uint64_t uaddr;
	uint32_t flags;
	uint32_t reserved;
};
#endif
#define SYS_FUTEX_WAITV 449

#define BIT 4

static uint32_t bitset_word, waitv_words[2], timed_waitv_word, silent_word;
static pthread_mutex_t inherited, timed_inherited, robust;
static pthread_t robust_owner;
static _Atomic bool robust_owned, robust_end;

static struct timespec in(int64_t clock_ns)
{
	clock_ns += WAIT_TIMEOUT_MS * 1000000LL;
	return (struct timespec){clock_ns / 1000000000, clock_ns % 1000000000};
}

static long run_bitset(void)
{
	return syscall(SYS_futex, &bitset_word, FUTEX_WAIT_BITSET, 0, NULL, NULL, BIT);
}

static void trigger_bitset(void)
{
	SCENARIO_CHECK(syscall(SYS_futex, &bitset_word, FUTEX_WAKE_BITSET, 1, NULL, NULL, BIT << 1) == 0,
		       "woken by another bit");
	SCENARIO_CHECK(syscall(SYS_futex, &bitset_word, FUTEX_WAKE_BITSET, 1, NULL, NULL, BIT) == 1, "not woken");
}

/* The second of two is woken. */
static long run_waitv(void)
{
	struct futex_waitv waiters[2] = {
		{.uaddr = (uintptr_t)&waitv_words[0], .flags = FUTEX_32},
		{.uaddr = (uintptr_t)&waitv_words[1], .flags = FUTEX_32},
	};
	long result = syscall(SYS_FUTEX_WAITV, waiters, 2, 0, NULL, 0);

	return result == 1 ? 0 : result < 0 ? result : -1;
}

static void trigger_waitv(void)
{
	SCENARIO_CHECK(syscall(SYS_futex, &waitv_words[1], FUTEX_WAKE, 1, NULL, NULL, 0) == 1, "not woken");
}

static long run_timed_waitv(void)
{
	struct futex_waitv waiter = {.uaddr = (uintptr_t)&timed_waitv_word, .flags = FUTEX_32};
	struct timespec time = in(wait_clock_ns());

	return syscall(SYS_FUTEX_WAITV, &waiter, 1, 0, &time, CLOCK_MONOTONIC);
}

static long run_inherited(void)
{
	errno = pthread_mutex_lock(&inherited);
	return errno ? -1 : 0;
}

static void trigger_inherited(void)
{
	pthread_mutex_unlock(&inherited);
}

static long run_timed_inherited(void)
{
	struct timespec time = in(wait_time_on(CLOCK_REALTIME));

	errno = pthread_mutex_timedlock(&timed_inherited, &time);
	return errno ? -1 : 0;
}

static long run_robust(void)
{
	errno = pthread_mutex_lock(&robust);
	return errno ? -1 : 0;
}

static void trigger_robust(void)
{
	robust_end = true;
	pthread_join(robust_owner, NULL);
}

static long run_timed_bitset(void)
{
	struct timespec time = in(wait_clock_ns());

	return syscall(SYS_futex, &silent_word, FUTEX_WAIT_BITSET, 0, &time, NULL, BIT);
}

enum { BITSET, WAITV, INHERITED, ROBUST, TIMED_BITSET, TIMED_WAITV, TIMED_INHERITED, WAITS };

static struct wait waits[WAITS] = {
	[BITSET] = {.name = "bitset", .run = run_bitset, .trigger = trigger_bitset},
	[WAITV] = {.name = "waitv", .run = run_waitv, .trigger = trigger_waitv},
	[INHERITED] = {.name = "PI mutex", .run = run_inherited, .trigger = trigger_inherited},
	[ROBUST] = {.name = "robust mutex", .run = run_robust, .trigger = trigger_robust, .error = EOWNERDEAD},
	[TIMED_BITSET] = {.name = "bitset for a time", .run = run_timed_bitset, .error = ETIMEDOUT},
	[TIMED_WAITV] = {.name = "waitv for a time", .run = run_timed_waitv, .error = ETIMEDOUT},
	[TIMED_INHERITED] = {.name = "PI mutex for a time",
			     .run = run_timed_inherited,
			     .error = ETIMEDOUT,
			     .by_wall_clock = true},
};

static void *own_robust(void *arg)
{
	pthread_mutex_lock(&robust);
	robust_owned = true;
	while (!robust_end)
		scenario_sleep_ms(1);
	return arg;
}

static void init(pthread_mutex_t *mutex, int protocol, int robustness)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutexattr_setrobust(&attr, robustness);
	pthread_mutex_init(mutex, &attr);
}

/* We own the PI mutexes, a thread of its own the robust one. */
static void start(void)
{
	init(&inherited, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
	init(&timed_inherited, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
	init(&robust, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_lock(&inherited);
	pthread_mutex_lock(&timed_inherited);
	robust_owned = robust_end = false;
	SCENARIO_REQUIRE(pthread_create(&robust_owner, NULL, own_robust, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(robust_owned, 10), "nobody owns the robust mutex");
	waits_start(waits, WAITS);
}

static void check(int round)
{
	(void)round;
	waits_end(waits, WAITS);
	start();
}

int main(int argc, char **argv)
{
	scenario_init();
	if (argc > 1)
		wait_timeout_ms = atoi(argv[1]);
	start();
	return scenario_main(check);
}
