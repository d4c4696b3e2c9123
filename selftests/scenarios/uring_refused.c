// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings that a dump refuses by name, and that go on all the same; argv[1] says which.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "selftests/scenarios/uring_ring.h"

#define SETUP_SQE_MIXED  (1U << 19) /* IORING_SETUP_SQE_MIXED (v7.0) */
#define OP_URING_CMD     46
#define COMMAND_SIOCINQ  0   /* SOCKET_URING_OP_SIOCINQ */
#define IA32_URING_SETUP 425 /* the same number in all tables of system calls */

enum {
	POLL = 1,
	COMMAND,
};

static struct io_uring ring;
static int pair[2] = {-1, -1};

static void no_gate(int signal)
{
	(void)signal;
	scenario_skip("this kernel runs no 32-bit programs");
}

/* A ring knows whether the call that set it up came by the gate of 32-bit programs (io_ring_ctx.compat). */
static void set_up_by_ia32_call(void)
{
	struct io_uring_params *params =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long fd;

	SCENARIO_REQUIRE(params != MAP_FAILED, "%m");
	/* The gate is closed with ia32_emulation=0. */
	signal(SIGSEGV, no_gate);
	__asm__ volatile("int $0x80" : "=a"(fd) : "a"(IA32_URING_SETUP), "b"(8L), "c"(params) : "memory");
	signal(SIGSEGV, SIG_DFL);
	SCENARIO_REQUIRE(fd >= 0, "io_uring_setup: %ld", fd);
	SCENARIO_REQUIRE(!io_uring_queue_mmap((int)fd, params, &ring), "mmap");
	scenario_tell("ring", "%ld", fd);
}

static void *set_up_and_end(void *unused)
{
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER), "%m");
	return unused;
}

static void set_up_by_thread_that_ends(void)
{
	pthread_t thread;

	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, set_up_and_end, NULL), "%m");
	SCENARIO_REQUIRE(!pthread_join(thread, NULL), "%m");
}

static void set_up_with_two_sizes(void)
{
	int err = io_uring_queue_init(8, &ring, SETUP_SQE_MIXED);

	if (err == -EINVAL)
		scenario_skip("no IORING_SETUP_SQE_MIXED");
	SCENARIO_REQUIRE(!err, "%s", strerror(-err));
}

/* It has not begun: it comes after a poll. */
static void submit_command(void)
{
	struct io_uring_sqe *sqe;

	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	if (!ring_knows(&ring, OP_URING_CMD))
		scenario_skip("no IORING_OP_URING_CMD");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "%m");
	sqe = ring_sqe(&ring);
	io_uring_prep_poll_add(sqe, pair[0], POLLIN);
	sqe->user_data = POLL;
	sqe->flags |= IOSQE_IO_LINK;
	sqe = ring_sqe(&ring);
	io_uring_prep_rw(OP_URING_CMD, sqe, pair[0], NULL, 0, COMMAND_SIOCINQ);
	sqe->user_data = COMMAND;
	ring_submit(&ring, 2);
}

/* It waits in a read into one of two buffers, one of which is replaced then. */
static void read_and_replace(int read, int replaced)
{
	struct iovec iovecs[2];
	int pipe_fds[2];
	__u64 tags[2] = {7, 8};
	struct io_uring_sqe *sqe;

	for (int i = 0; i < 2; i++) {
		iovecs[i].iov_len = 4096;
		iovecs[i].iov_base =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	}
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0) && !pipe(pipe_fds), "%m");
	SCENARIO_REQUIRE(!io_uring_register_buffers_tags(&ring, iovecs, tags, 2), "buffers");
	sqe = ring_sqe(&ring);
	io_uring_prep_read_fixed(sqe, pipe_fds[0], iovecs[read].iov_base, 10, 0, read);
	ring_submit(&ring, 1);
	SCENARIO_REQUIRE(
		io_uring_register_buffers_update_tag(&ring, (unsigned)replaced, &iovecs[1 - replaced], tags, 1) == 1,
		"update");
}

static void replace_buffer(void)
{
	read_and_replace(0, 0);
}

/* Up to v6.12 the read holds back what came after it (struct io_rsrc_node). */
static void replace_other_buffer(void)
{
	struct io_uring_cqe *cqe;

	read_and_replace(0, 1);
	if (!io_uring_peek_cqe(&ring, &cqe))
		scenario_skip("this kernel tells tags at once (Linux 6.13)");
}

/* What waits is told once. */
static void check(int round)
{
	(void)round;
	if (pair[0] < 0)
		return;
	ring_expect_nothing(&ring, "at rest");
	put(pair[1], "x");
	SCENARIO_CHECK(ring_expect(&ring, POLL, "poll") == POLLIN, "poll");
	ring_expect(&ring, COMMAND, "command");
	ring_expect_nothing(&ring, "after the round");
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"ia32", set_up_by_ia32_call}, {"dead", set_up_by_thread_that_ends}, {"mixed", set_up_with_two_sizes},
		{"command", submit_command},   {"replaced", replace_buffer},         {"tag", replace_other_buffer},
	};

	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
