// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A splice that a worker executes and of which too little is known. Argument: which.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/scenarios/uring_workers.h"

#define SPLICE 1

static struct io_uring ring;
static int in[2], out[2];
static bool fed; /* there is data for it already */

static void splice_to(int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_splice(sqe, in[0], -1, fd, -1, 32, 0);
	sqe->user_data = SPLICE;
	ring_submit(&ring, 1);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(sleeping_workers() == 1, 5), "no worker waits");
}

/* The descriptor of its input names another pipe by now. */
static void set_up_reused(void)
{
	int other[2];

	SCENARIO_REQUIRE(!pipe2(other, O_CLOEXEC), "%m");
	splice_to(out[1]);
	SCENARIO_REQUIRE(fcntl(in[0], F_DUPFD_CLOEXEC, 100) >= 0 && dup2(other[0], in[0]) == in[0], "%m");
}

/* It waits for its input with the lock of a pipe that is not empty. */
static void set_up_locked(void)
{
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), "%m");
	put(out[1], "x");
	splice_to(out[1]);
}

/* A part of it may be in the queue of the socket already. */
static void set_up_begun(void)
{
	static char filling[4096];

	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), "%m");
	while (send(out[1], filling, sizeof(filling), MSG_DONTWAIT) > 0)
		;
	put(in[1], "bytes");
	fed = true;
	splice_to(out[1]);
	if (*ring.cq.ktail != *ring.cq.khead)
		scenario_skip("a splice does not wait for room in a socket on this kernel (before Linux 6.5)");
}

/* Before v6.13 nothing but the worker's stack has the slot. */
static void set_up_fixed(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	if (ring_keeps_fixed_inputs())
		scenario_skip("this kernel keeps which fixed file a splice takes its input from (Linux 6.13)");
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, in, 1), "files");
	io_uring_prep_splice(sqe, 0, -1, out[1], -1, 32, SPLICE_F_FD_IN_FIXED);
	sqe->user_data = SPLICE;
	ring_submit(&ring, 1);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(sleeping_workers() == 1, 5), "no worker waits");
}

static void check(int round)
{
	char text[4096];

	if (round > 1)
		return;
	ring_expect_nothing(&ring, "at rest");
	if (!fed)
		put(in[1], "bytes");
	while (recv(out[0], text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	ring_expect_result(&ring, SPLICE, 5);
}

static const struct scenario_state states[] = {
	{"reused", set_up_reused},
	{"locked", set_up_locked},
	{"begun", set_up_begun},
	{"fixed", set_up_fixed},
};

int main(int argc, char **argv)
{
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	SCENARIO_REQUIRE(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC), "%m");
	return scenario_state_main(argc, argv, states, 4, check);
}
