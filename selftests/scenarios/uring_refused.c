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
		{"ia32", set_up_by_ia32_call},
		{"dead", set_up_by_thread_that_ends},
		{"mixed", set_up_with_two_sizes},
		{"command", submit_command},
	};

	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
