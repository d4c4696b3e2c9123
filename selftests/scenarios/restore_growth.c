// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What still works afterwards: the stack of the first thread grows, 10 GiB with a page here and there stay as small as
// they are, the owner of a robust mutex that ends hands it on, and a PI mutex goes to the thread that waits for it.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPARSE (10UL << 30)
#define STEP   (1UL << 30)
#define FRAME  (64 << 10)
#define ROUNDS 4

static unsigned char *sparse;
static pthread_mutex_t robust[ROUNDS], inherited;
static _Atomic int end_owner, owned;
static pthread_t owners[ROUNDS];

static long resident_kib(void)
{
	long pages = 0, resident = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (!statm || fscanf(statm, "%ld %ld", &pages, &resident) != 2)
		resident = -1;
	if (statm)
		fclose(statm);
	return resident * 4;
}

// Deeper than before by 1 MiB in each round.
static int descend(int frames)
{
	volatile unsigned char frame[FRAME];

	memset((void *)frame, frames, FRAME);
	if (frames > 1 && descend(frames - 1) != frames - 1)
		return -1;
	return frame[FRAME / 2] == (unsigned char)frames ? frames : -1;
}

// Each ends in its round, and leaves its mutex locked.
static void *own(void *number)
{
	pthread_mutex_lock(&robust[(intptr_t)number]);
	owned++;
	while (end_owner <= (intptr_t)number)
		usleep(1000);
	return NULL;
}

static void *wait_for_mutex(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)(pthread_mutex_lock(&inherited) || pthread_mutex_unlock(&inherited));
}

static void check_mutexes(int round)
{
	pthread_t waiter;
	void *failed = NULL;

	if (round > ROUNDS)
		return;
	end_owner = round;
	SCENARIO_CHECK(pthread_join(owners[round - 1], NULL) == 0, "round %d: join", round);
	SCENARIO_CHECK(pthread_mutex_trylock(&robust[round - 1]) == EOWNERDEAD, "round %d: nobody has died", round);
	// Locked since before the dump.
	SCENARIO_CHECK(!pthread_create(&waiter, NULL, wait_for_mutex, NULL), "round %d: thread", round);
	usleep(10000);
	SCENARIO_CHECK(!pthread_mutex_unlock(&inherited), "round %d: unlock", round);
	SCENARIO_CHECK(!pthread_join(waiter, &failed) && !failed, "round %d: the waiter", round);
	SCENARIO_CHECK(!pthread_mutex_lock(&inherited), "round %d: lock", round);
}

static void check(int round)
{
	int frames = round * ((1 << 20) / FRAME);

	SCENARIO_CHECK(descend(frames) == frames, "round %d: the stack does not hold", round);
	for (unsigned long at = 0; at < SPARSE; at += STEP)
		SCENARIO_CHECK(sparse[at] == at / STEP + 1, "round %d: page at %lx", round, at);
	SCENARIO_CHECK(resident_kib() < 32 << 10, "round %d: %ld KiB are resident", round, resident_kib());
	check_mutexes(round);
}

int main(void)
{
	pthread_mutexattr_t attr;

	scenario_init();
	sparse = mmap(NULL, SPARSE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	SCENARIO_REQUIRE(sparse != MAP_FAILED && !madvise(sparse, SPARSE, MADV_NOHUGEPAGE), "%s", strerror(errno));
	for (unsigned long at = 0; at < SPARSE; at += STEP)
		sparse[at] = (unsigned char)(at / STEP + 1);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (intptr_t i = 0; i < ROUNDS; i++) {
		pthread_mutex_init(&robust[i], &attr);
		SCENARIO_REQUIRE(!pthread_create(&owners[i], NULL, own, (void *)i), "thread");
	}
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(owned == ROUNDS, 10), "the mutexes are free");
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_STALLED);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&inherited, &attr);
	pthread_mutex_lock(&inherited);
	return scenario_main(check);
}
