// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One ring that several threads submit to, and timeouts that expire some time after the dump, before or after it is
// restored: each is told once, and none too early.
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum { THREADS = 3 };

/* user_data: these, and the number of the thread above them. */
enum { READ = 1, TIMEOUT, TIMED_READ, READ_TIMEOUT, KINDS = 8 };

static struct io_uring ring;
static struct submitter {
	pthread_t thread;
	int order[2], done[2]; /* to arm its requests, and that they are */
	int data[2], empty[2];
	char byte[2];
	struct timespec armed;
} submitters[THREADS];
static const struct __kernel_timespec period = {.tv_nsec = 400 * 1000 * 1000};

static int data_of(int submitter, int kind)
{
	return submitter * KINDS + kind;
}

/* Only one of them at a time has been told to. */
static void arm(int i)
{
	struct submitter *self = &submitters[i];
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, self->data[0], &self->byte[0], 1, 0);
	sqe->user_data = data_of(i, READ);
	sqe = ring_sqe(&ring);
	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)&period, 0, 0);
	sqe->user_data = data_of(i, TIMEOUT);
	sqe = ring_sqe(&ring);
	io_uring_prep_read(sqe, self->empty[0], &self->byte[1], 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = data_of(i, TIMED_READ);
	sqe = ring_sqe(&ring);
	io_uring_prep_link_timeout(sqe, (struct __kernel_timespec *)&period, 0);
	sqe->user_data = data_of(i, READ_TIMEOUT);
	clock_gettime(CLOCK_MONOTONIC, &self->armed);
	ring_submit(&ring, 4);
}

static void *submit_when_told(void *number)
{
	int i = (int)(long)number;
	char byte;

	while (read(submitters[i].order[0], &byte, 1) == 1) {
		arm(i);
		put(submitters[i].done[1], "d");
	}
	return NULL;
}

static void tell_to_arm(int i)
{
	put(submitters[i].order[1], "o");
	take(submitters[i].done[0]);
}

static long long nanoseconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000000000LL + now.tv_nsec - then->tv_nsec;
}

static int result_of(int kind)
{
	if (kind == READ)
		return 1;
	return kind == TIMED_READ ? -ECANCELED : -ETIME;
}

static void check(int round)
{
	int seen[THREADS * KINDS] = {0};

	(void)round;
	for (int i = 0; i < THREADS; i++)
		put(submitters[i].data[1], "x");
	for (int i = 0; i < THREADS * 4; i++) {
		struct __kernel_timespec limit = {.tv_sec = 30};
		struct io_uring_cqe *cqe = NULL;
		int err, kind;

		do {
			err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
		} while (err == -EINTR);
		SCENARIO_REQUIRE(!err && cqe->user_data < THREADS * KINDS, "completion %d: %s", i, strerror(-err));
		kind = cqe->user_data % KINDS;
		seen[cqe->user_data]++;
		SCENARIO_CHECK(cqe->res == result_of(kind), "kind %d: %d", kind, cqe->res);
		SCENARIO_CHECK(kind == READ ||
				       nanoseconds_since(&submitters[cqe->user_data / KINDS].armed) >= period.tv_nsec,
			       "kind %d is too early", kind);
		io_uring_cqe_seen(&ring, cqe);
	}
	ring_expect_nothing(&ring, "after the round");
	for (int i = 0; i < THREADS; i++) {
		for (int kind = READ; kind <= READ_TIMEOUT; kind++)
			SCENARIO_CHECK(seen[data_of(i, kind)] == 1, "kind %d of %d: %d times", kind, i,
				       seen[data_of(i, kind)]);
		tell_to_arm(i);
	}
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(32, &ring, 0), "%m");
	for (int i = 0; i < THREADS; i++) {
		struct submitter *one = &submitters[i];

		SCENARIO_REQUIRE(!pipe(one->order) && !pipe(one->done) && !pipe(one->data) && !pipe(one->empty), "%m");
		SCENARIO_REQUIRE(!pthread_create(&one->thread, NULL, submit_when_told, (void *)(long)i), "thread");
		tell_to_arm(i);
	}
	return scenario_main(check);
}
