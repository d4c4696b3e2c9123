// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring whose timeouts fire all the time, each set anew at once: whoever walks its lists meets entries that have just
// been taken out, which the kernel makes their own successors (list_del_init()).
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "selftests/scenarios/uring_ring.h"

#define TIMEOUTS 400

static struct io_uring ring;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long fired;
static struct __kernel_timespec delays[TIMEOUTS];

static void arm(unsigned which)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_timeout(sqe, &delays[which], 0, 0);
	sqe->user_data = which;
}

static void *churn(void *unused)
{
	struct io_uring_cqe *cqe;

	(void)unused;
	for (unsigned which = 0; which < TIMEOUTS; which++)
		arm(which);
	for (;;) {
		int error = io_uring_submit_and_wait(&ring, 1);

		SCENARIO_REQUIRE(error >= 0 || error == -EINTR, "%s", strerror(-error));
		while (!io_uring_peek_cqe(&ring, &cqe)) {
			unsigned which = (unsigned)cqe->user_data;

			SCENARIO_REQUIRE(which < TIMEOUTS && cqe->res == -ETIME, "timeout %u: %d", which, cqe->res);
			io_uring_cqe_seen(&ring, cqe);
			pthread_mutex_lock(&lock);
			fired++;
			pthread_mutex_unlock(&lock);
			arm(which);
		}
	}
	return NULL;
}

/* They go on firing. */
static void check(int round)
{
	unsigned long before, now;
	struct timespec pause = {.tv_nsec = 1000000};

	(void)round;
	pthread_mutex_lock(&lock);
	before = now = fired;
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 10000 && now < before + TIMEOUTS; i++) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&lock);
		now = fired;
		pthread_mutex_unlock(&lock);
	}
	SCENARIO_CHECK(now >= before + TIMEOUTS, "%lu timeouts fired after %lu", now, before);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(TIMEOUTS, &ring, 0), "%m");
	for (int i = 0; i < TIMEOUTS; i++)
		delays[i].tv_nsec = 500000 + 5000 * i;
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, churn, NULL), "thread");
	return scenario_main(check);
}
