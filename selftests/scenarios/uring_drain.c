// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rings as a drain meets them, by argv[1]:
 *
 *	defer     chains of disk I/O that workers execute: with IORING_SETUP_DEFER_TASKRUN each step is done when a
 *worker is, and told, and followed by the next, when the submitter enters the ring, which it does in a round only idle
 *nothing in flight, and likewise single    with IORING_SETUP_SINGLE_ISSUER sqpoll    with IORING_SETUP_SQPOLL armed
 *with a poll that waits
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define CHAINS 8
#define SIZE   4096

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

static struct io_uring ring;
static int file, event[2];
static bool deferred, armed;
static unsigned long long sequence; /* of the first request that is not told yet */
static char data[CHAINS][SIZE], back[CHAINS][SIZE];

static bool needs_submitter(void)
{
	return *ring.sq.kflags & IORING_SQ_TASKRUN;
}

static bool all_told(void)
{
	return io_uring_cq_ready(&ring) == 2 * CHAINS;
}

/* A write and the read of what it has written, each by a worker. */
static void submit_chains(void)
{
	for (int i = 0; i < CHAINS; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		memset(data[i], (int)(sequence + i), SIZE);
		memset(back[i], 0, SIZE);
		io_uring_prep_write(sqe, file, data[i], SIZE, (unsigned long long)i * SIZE);
		sqe->flags |= IOSQE_ASYNC | IOSQE_IO_LINK;
		sqe->user_data = sequence + 2 * i;
		sqe = ring_sqe(&ring);
		io_uring_prep_read(sqe, file, back[i], SIZE, (unsigned long long)i * SIZE);
		sqe->flags |= IOSQE_ASYNC;
		sqe->user_data = sequence + 2 * i + 1;
	}
	ring_submit(&ring, 2 * CHAINS);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(needs_submitter() || all_told(), 15), "no worker is done");
	/* A worker of 6.1 posts the completion itself, and goes on with what is linked (io_wq_free_work()). */
	if (!needs_submitter())
		scenario_skip("workers of this kernel end such chains without their submitter");
}

static void reap_chains(void)
{
	bool told[2 * CHAINS] = {false};

	for (int i = 0; i < 2 * CHAINS; i++) {
		struct __kernel_timespec limit = {.tv_sec = 15};
		struct io_uring_cqe *cqe = NULL;
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
		unsigned long long number;

		SCENARIO_REQUIRE(!err, "a request is lost: %s", strerror(-err));
		number = cqe->user_data - sequence;
		SCENARIO_CHECK(number < 2 * CHAINS && !told[number] && cqe->res == SIZE, "request %lld: %d",
			       (long long)number, cqe->res);
		told[number % (2 * CHAINS)] = true;
		io_uring_cqe_seen(&ring, cqe);
	}
	for (int i = 0; i < CHAINS; i++)
		SCENARIO_CHECK(!memcmp(data[i], back[i], SIZE), "chain %d: other data", i);
	ring_expect_nothing(&ring, "after the chains");
	sequence += 2 * CHAINS;
}

static void arm(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, event[0], POLLIN);
	sqe->user_data = 1;
	ring_submit(&ring, 1);
}

static void check(int round)
{
	if (deferred) {
		reap_chains();
		submit_chains();
		return;
	}
	if (armed) {
		put(event[1], "x");
		ring_expect(&ring, 1, "the poll");
		take(event[0]);
	}
	for (int i = 0; i < 100; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_nop(sqe);
		sqe->user_data = 1000 * round + i;
		ring_submit(&ring, 1);
		ring_expect(&ring, 1000 * round + i, "a NOP");
	}
	ring_expect_nothing(&ring, "after the NOPs");
	if (armed)
		arm();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned flags = 0;
	int err;

	scenario_init();
	deferred = !strcmp(what, "defer");
	armed = !strcmp(what, "armed");
	if (deferred)
		flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	else if (!strcmp(what, "single"))
		flags = IORING_SETUP_SINGLE_ISSUER;
	else if (!strcmp(what, "sqpoll"))
		flags = IORING_SETUP_SQPOLL;
	file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	SCENARIO_REQUIRE(file >= 0 && !pipe2(event, O_CLOEXEC), "%m");
	err = io_uring_queue_init(4 * CHAINS, &ring, flags);
	SCENARIO_REQUIRE(!err, "%s", strerror(-err));
	scenario_tell("ring", "%d", ring.ring_fd);
	if (armed)
		arm();
	if (deferred)
		submit_chains();
	else
		check(0);
	return scenario_main(check);
}
