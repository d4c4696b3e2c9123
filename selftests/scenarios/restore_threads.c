// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A hundred threads, each with values of its own, that are woken, answer and are joined in every round.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 100

static pthread_t threads[THREADS];
static pid_t tids[THREADS];
static pthread_barrier_t all_there;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t next_round = PTHREAD_COND_INITIALIZER;
static int current;
static __thread int own;

static void *run(void *arg)
{
	int index = (int)(intptr_t)arg, waited_for = current;
	double sum = index * 0.5;
	char name[16], found[16];
	sigset_t mask;

	own = index;
	snprintf(name, sizeof(name), "thread-%d", index);
	prctl(PR_SET_NAME, name);
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + index % 20);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	tids[index] = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&all_there);
	pthread_mutex_lock(&lock);
	while (current == waited_for)
		pthread_cond_wait(&next_round, &lock);
	pthread_mutex_unlock(&lock);
	prctl(PR_GET_NAME, found);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	SCENARIO_CHECK(own == index && sum == index * 0.5, "thread %d has the values of %d", index, own);
	SCENARIO_CHECK(syscall(SYS_gettid) == tids[index], "thread %d has another tid", index);
	SCENARIO_CHECK(__builtin_strcmp(name, found) == 0, "thread %d is called %s", index, found);
	SCENARIO_CHECK(sigismember(&mask, SIGRTMIN + index % 20), "thread %d has another mask", index);
	return (void *)(intptr_t)(index * 3);
}

static void start_all(void)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < THREADS; i++)
		SCENARIO_REQUIRE(pthread_create(&threads[i], &attr, run, (void *)(intptr_t)i) == 0, "thread %d", i);
	pthread_barrier_wait(&all_there);
}

static void check(int round)
{
	(void)round;
	pthread_mutex_lock(&lock);
	current++;
	pthread_cond_broadcast(&next_round);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < THREADS; i++) {
		void *result = NULL;

		SCENARIO_CHECK(pthread_join(threads[i], &result) == 0, "thread %d cannot be joined", i);
		SCENARIO_CHECK((intptr_t)result == i * 3, "thread %d gave %p", i, result);
	}
	start_all();
}

int main(void)
{
	scenario_init();
	pthread_barrier_init(&all_there, NULL, THREADS + 1);
	start_all();
	return scenario_main(check);
}
