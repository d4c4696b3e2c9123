// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A process with many of one thing, and each of it still in place in every round.
//
//	bench_objects threads|eventfds|vmas|timers|memory N	(memory: MiB)
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096 };

static unsigned count;
static sem_t wake, awake;
static int *eventfds;
static char *memory;
static timer_t *timers;

static void *sleep_in_futex(void *unused)
{
	for (;;) {
		while (sem_wait(&wake))
			SCENARIO_CHECK(false, "sem_wait: %m");
		sem_post(&awake);
		while (sem_trywait(&wake) == 0)
			sem_post(&wake);
	}
	return unused;
}

static void make_threads(void)
{
	pthread_attr_t small;

	sem_init(&wake, 0, 0);
	sem_init(&awake, 0, 0);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (unsigned i = 1; i < count; i++) {
		pthread_t thread;
		int error = pthread_create(&thread, &small, sleep_in_futex, NULL);

		SCENARIO_REQUIRE(!error, "thread %u: %s", i, strerror(error));
	}
}

static void check_threads(void)
{
	sem_post(&wake);
	sem_wait(&awake);
}

static void make_eventfds(void)
{
	eventfds = calloc(count, sizeof(*eventfds));
	for (unsigned i = 0; i < count; i++) {
		eventfds[i] = eventfd(i, EFD_NONBLOCK);
		SCENARIO_REQUIRE(eventfds[i] >= 0, "eventfd %u: %m", i);
	}
}

static void check_eventfds(void)
{
	for (unsigned i = 1; i < count; i++) {
		eventfd_t value = 0;

		SCENARIO_CHECK(!eventfd_read(eventfds[i], &value) && value == i, "eventfd %u holds %lu", i,
			       (unsigned long)value);
		eventfd_write(eventfds[i], i);
	}
}

// Alternating protections keep neighbours from being merged.
static void make_vmas(void)
{
	memory = mmap(NULL, (size_t)count * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	for (unsigned i = 0; i < count; i++) {
		memory[(size_t)i * kPage] = (char)i;
		if (i % 2)
			SCENARIO_REQUIRE(!mprotect(memory + (size_t)i * kPage, kPage, PROT_READ), "VMA %u: %m", i);
	}
}

static void check_vmas(void)
{
	for (unsigned i = 0; i < count; i++)
		SCENARIO_CHECK(memory[(size_t)i * kPage] == (char)i, "page %u", i);
}

static void make_timers(void)
{
	struct itimerspec in_an_hour = {.it_value.tv_sec = 3600};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};

	timers = calloc(count, sizeof(*timers));
	for (unsigned i = 0; i < count; i++)
		SCENARIO_REQUIRE(!timer_create(CLOCK_MONOTONIC, &none, &timers[i]) &&
					 !timer_settime(timers[i], 0, &in_an_hour, NULL),
				 "timer %u: %m", i);
}

static void check_timers(void)
{
	for (unsigned i = 0; i < count; i++) {
		struct itimerspec left = {};

		SCENARIO_CHECK(!timer_gettime(timers[i], &left) && left.it_value.tv_sec > 3000, "timer %u", i);
	}
}

static void make_memory(void)
{
	size_t bytes = (size_t)count << 20;

	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t))
		*(uint64_t *)(memory + i) = (i + 1) * 0x9e3779b97f4a7c15u;
}

static void check_memory(void)
{
	for (size_t i = 0; i < (size_t)count << 20; i += kPage)
		SCENARIO_CHECK(*(uint64_t *)(memory + i) == (i + 1) * 0x9e3779b97f4a7c15u, "page %zu", i / kPage);
}

static const struct kind {
	const char *name;
	void (*make)(void);
	void (*check)(void);
} kinds[] = {
	{"threads", make_threads, check_threads}, {"eventfds", make_eventfds, check_eventfds},
	{"vmas", make_vmas, check_vmas},          {"timers", make_timers, check_timers},
	{"memory", make_memory, check_memory},
};

static const struct kind *kind;

static void check(int round)
{
	(void)round;
	kind->check();
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(argc == 3, "usage: bench_objects KIND N");
	count = (unsigned)atoi(argv[2]);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!strcmp(kinds[i].name, argv[1]))
			kind = &kinds[i];
	}
	SCENARIO_REQUIRE(kind, "no such kind: %s", argv[1]);
	kind->make();
	return scenario_main(check);
}
