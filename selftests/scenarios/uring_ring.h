/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs with rings share: getting an SQE, and waiting for exactly the completion that is due. */
#ifndef BPFCKPT_URING_RING_H
#define BPFCKPT_URING_RING_H

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

static inline struct io_uring_sqe *ring_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	/* A submission thread says late what it has taken: completions may be there before. */
	if (!sqe && ring->flags & IORING_SETUP_SQPOLL && io_uring_submit(ring) >= 0 && io_uring_sqring_wait(ring) >= 0)
		sqe = io_uring_get_sqe(ring);
	SCENARIO_REQUIRE(sqe, "the submission queue is full");
	return sqe;
}

static inline void ring_submit(struct io_uring *ring, int count)
{
	int done = io_uring_submit(ring);

	/* A submission thread may not have taken the last ones yet: they count again. */
	SCENARIO_REQUIRE(done == count || (ring->flags & IORING_SETUP_SQPOLL && done > count), "submitted %d of %d",
			 done, count);
}

/* The next completion must be that of `user_data`; gives its result. */
static inline int ring_expect(struct io_uring *ring, unsigned long long user_data, const char *what)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	int result, err;

	do {
		err = io_uring_wait_cqe_timeout(ring, &cqe, &limit);
	} while (err == -EINTR);
	SCENARIO_CHECK(!err, "%s: no completion: %s", what, strerror(-err));
	if (err)
		return err;
	result = cqe->res;
	SCENARIO_CHECK(cqe->user_data == user_data, "%s: completion of %llu in place of %llu", what,
		       (unsigned long long)cqe->user_data, user_data);
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static inline void ring_expect_nothing(struct io_uring *ring, const char *what)
{
	struct io_uring_cqe *cqe = NULL;

	SCENARIO_CHECK(io_uring_peek_cqe(ring, &cqe) == -EAGAIN, "%s: a completion too many: %llu", what,
		       cqe ? (unsigned long long)cqe->user_data : 0);
}

/* Whether this kernel has the opcode: IORING_OP_... */
static inline int ring_knows(struct io_uring *ring, int opcode)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	int known;

	SCENARIO_REQUIRE(probe, "no probe");
	known = io_uring_opcode_supported(probe, opcode);
	io_uring_free_probe(probe);
	return known;
}

/* Since v6.13 an io_splice keeps the slot of a fixed input, as IORING_REGISTER_SEND_MSG_RING (31) can be called: the
 * two came with the same work on resources. */
static inline int ring_keeps_fixed_inputs(void)
{
	return syscall(SYS_io_uring_register, -1, 31, (void *)8, 1) < 0 && errno == EFAULT;
}

static inline void put(int fd, const char *text)
{
	SCENARIO_REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%m");
}

static inline void take(int fd)
{
	char text[64];

	SCENARIO_REQUIRE(read(fd, text, sizeof(text)) > 0, "%m");
}

/* A poll, and a NOP that waits for all before it (IOSQE_IO_DRAIN); not submitted yet. */
static inline void ring_prep_drain(struct io_uring *ring, int fd, unsigned long long poll, unsigned long long drained)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->user_data = poll;
	sqe = ring_sqe(ring);
	io_uring_prep_nop(sqe);
	sqe->flags |= IOSQE_IO_DRAIN;
	sqe->user_data = drained;
}

/* The next completion is that of request `what`, with this result. */
static inline void ring_expect_result(struct io_uring *ring, int what, int result)
{
	int got = ring_expect(ring, what, "request");

	SCENARIO_CHECK(got == result, "request %d: %d in place of %d", what, got, result);
}

#endif
