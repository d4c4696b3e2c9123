/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocking system calls, one per thread, that must end as if nobody had ever stopped the program: with the right
 * result, never with an EINTR of their own, never before their time.
 */
#ifndef BPFCKPT_WAIT_THREADS_H
#define BPFCKPT_WAIT_THREADS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

#define WAIT_LATE_MS 5000

/* argv[1] of the programs. */
static int wait_timeout_ms = 1500;
#define WAIT_TIMEOUT_MS wait_timeout_ms

struct wait {
	const char *name;
	long (*run)(void);
	int error;             /* errno with which it ends; 0: it succeeds */
	void (*trigger)(void); /* ends it; NULL: its timeout does */
	bool by_wall_clock;    /* its timeout is on CLOCK_REALTIME, which somebody may set meanwhile */

	pthread_t thread;
	_Atomic int tid;
	_Atomic int done;
	long result;
	int end_error;
	int64_t ns;
};

static int64_t wait_time_on(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline int64_t wait_clock_ns(void)
{
	return wait_time_on(CLOCK_MONOTONIC);
}

static void *wait_thread(void *argument)
{
	struct wait *wait = argument;
	clockid_t clock = wait->by_wall_clock ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	int64_t start = wait_time_on(clock);

	wait->tid = gettid();
	errno = 0;
	wait->result = wait->run();
	wait->end_error = wait->result < 0 ? errno : 0;
	wait->ns = wait_time_on(clock) - start;
	wait->done = 1;
	return NULL;
}

static bool wait_sleeps(const struct wait *wait)
{
	char path[64], stat[256] = "";
	FILE *file;

	if (!wait->tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", wait->tid);
	file = fopen(path, "r");
	if (file) {
		if (!fgets(stat, sizeof(stat), file))
			stat[0] = 0;
		fclose(file);
	}
	return strstr(stat, ") S ") != NULL;
}

/* Returns when all are asleep. */
static void waits_start(struct wait *waits, int count)
{
	for (int i = 0; i < count; i++) {
		waits[i].tid = 0;
		waits[i].done = 0;
		SCENARIO_REQUIRE(pthread_create(&waits[i].thread, NULL, wait_thread, &waits[i]) == 0, "%s",
				 waits[i].name);
	}
	for (int i = 0; i < count; i++)
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(wait_sleeps(&waits[i]), 10), "%s does not sleep", waits[i].name);
}

static void wait_end(struct wait *wait)
{
	if (wait->trigger) {
		/* A wake-up is for those who wait by then: after a restore the thread may not have had a CPU yet. */
		SCENARIO_CHECK(SCENARIO_EVENTUALLY(wait->done || wait_sleeps(wait), 15), "%s does not sleep on",
			       wait->name);
		SCENARIO_CHECK(!wait->done, "%s ended by itself: %ld (%s)", wait->name, wait->result,
			       strerror(wait->end_error));
		wait->trigger();
	}
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(wait->done, 15), "%s does not end", wait->name);
	pthread_join(wait->thread, NULL);
	SCENARIO_CHECK(wait->end_error == wait->error, "%s: %s", wait->name, strerror(wait->end_error));
	if (wait->trigger)
		return;
	SCENARIO_CHECK(wait->ns >= (WAIT_TIMEOUT_MS - 1) * 1000000LL, "%s took %lld ns only", wait->name,
		       (long long)wait->ns);
	SCENARIO_CHECK(wait->ns <= (WAIT_TIMEOUT_MS + WAIT_LATE_MS) * 1000000LL, "%s took %lld ns", wait->name,
		       (long long)wait->ns);
}

static void waits_end(struct wait *waits, int count)
{
	for (int i = 0; i < count; i++)
		wait_end(&waits[i]);
}

/* A round of programs that do nothing else. */
static inline void waits_again(struct wait *waits, int count)
{
	waits_end(waits, count);
	waits_start(waits, count);
}

#endif
