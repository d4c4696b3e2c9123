// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread sleeps in io_uring_enter(2) with a timeout that is far away; what it waits for comes after the dump, and
// neither an error nor an early end may reach it.
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define WAIT_SECONDS 500

static struct io_uring ring;
static pthread_barrier_t seen;
static int waiter, error;
static unsigned long long got;

static void *wait_for_completions(void *unused)
{
	(void)unused;
	__atomic_store_n(&waiter, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	for (;;) {
		struct __kernel_timespec limit = {.tv_sec = WAIT_SECONDS};
		struct io_uring_cqe *cqe = NULL;

		error = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
		if (!error) {
			got = cqe->user_data;
			io_uring_cqe_seen(&ring, cqe);
		}
		SCENARIO_CHECK(limit.tv_sec == WAIT_SECONDS && !limit.tv_nsec, "its timeout was changed");
		pthread_barrier_wait(&seen);
	}
	return NULL;
}

static bool sleeps(void)
{
	char path[64], text[16] = "";
	int nr = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", waiter);
	file = fopen(path, "r");
	if (file && fgets(text, sizeof(text), file))
		sscanf(text, "%d", &nr);
	if (file)
		fclose(file);
	return nr == SYS_io_uring_enter;
}

static void check(int round)
{
	struct io_uring_sqe *sqe;

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(sleeps(), 5), "round %d: it does not wait", round);
	sqe = ring_sqe(&ring);
	io_uring_prep_nop(sqe);
	sqe->user_data = 40 + (unsigned)round;
	ring_submit(&ring, 1);
	pthread_barrier_wait(&seen);
	SCENARIO_CHECK(!error && got == 40 + (unsigned)round, "round %d: error %d, completion %llu", round, error, got);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(sleeps(), 5), "round %d: it does not wait again", round);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	pthread_barrier_init(&seen, NULL, 2);
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, wait_for_completions, NULL), "%m");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(__atomic_load_n(&waiter, __ATOMIC_ACQUIRE) && sleeps(), 5), "no wait");
	scenario_tell("waiter", "%d", waiter);
	return scenario_main(check);
}
