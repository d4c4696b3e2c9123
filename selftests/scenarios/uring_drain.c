// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings as a drain meets them, by argv[1]. "defer": chains of disk I/O that workers execute: with
// IORING_SETUP_DEFER_TASKRUN each step is done when a worker is, and told, and followed by the next, when the submitter
// enters the ring, which it does in a round only. "faulting": the same, and what is read goes to memory that another
// thread provides (userfaultfd). "idle": nothing in flight; likewise "single", with IORING_SETUP_SINGLE_ISSUER,
// "sqpoll", with IORING_SETUP_SQPOLL, and "seccomp", under a filter. "armed": with a poll that waits.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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
static bool deferred, armed, faulting;
static unsigned long long sequence; /* of the first request that is not told yet */
static char data[CHAINS][SIZE], (*back)[SIZE];

static void *provide(void *arg)
{
	int faults = *(int *)arg;
	struct uffd_msg message;

	while (read(faults, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_zeropage page = {.range = {message.arg.pagefault.address & ~(SIZE - 1ULL), SIZE}};

		ioctl(faults, UFFDIO_ZEROPAGE, &page);
	}
	return NULL;
}

static void register_faults(void)
{
	static int faults;
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.range = {(unsigned long)back, CHAINS * SIZE},
					.mode = UFFDIO_REGISTER_MODE_MISSING};
	pthread_t thread;

	faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0)
		scenario_skip("no userfaultfd(2): %m");
	SCENARIO_REQUIRE(!ioctl(faults, UFFDIO_API, &api) && !ioctl(faults, UFFDIO_REGISTER, &range), "%m");
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, provide, &faults), "%m");
}

static void filter_calls(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};

	SCENARIO_REQUIRE(
		!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "%m");
}

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
		SCENARIO_REQUIRE(!madvise(back[i], SIZE, MADV_DONTNEED), "%m");
		io_uring_prep_write(sqe, file, data[i], SIZE, (unsigned long long)i * SIZE);
		sqe->flags |= IOSQE_ASYNC | IOSQE_IO_LINK;
		sqe->user_data = sequence + 2 * i;
		sqe = ring_sqe(&ring);
		io_uring_prep_read(sqe, file, back[i], SIZE, (unsigned long long)i * SIZE);
		sqe->flags |= faulting ? 0 : IOSQE_ASYNC;
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
	faulting = !strcmp(what, "faulting");
	deferred = faulting || !strcmp(what, "defer");
	armed = !strcmp(what, "armed");
	if (deferred)
		flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	else if (!strcmp(what, "single") || !strcmp(what, "seccomp"))
		flags = IORING_SETUP_SINGLE_ISSUER;
	else if (!strcmp(what, "sqpoll"))
		flags = IORING_SETUP_SQPOLL;
	file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	SCENARIO_REQUIRE(file >= 0 && !pipe2(event, O_CLOEXEC), "%m");
	back = mmap(NULL, CHAINS * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(back != MAP_FAILED, "%m");
	if (faulting)
		register_faults();
	if (!strcmp(what, "seccomp"))
		filter_calls();
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
