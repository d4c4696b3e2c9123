// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of other kinds, one armed poll in each: sqpoll, defer (SINGLE_ISSUER and DEFER_TASKRUN), registered (no fd at
// all), mapped (its fd is closed: only the mapping is left).
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

static struct io_uring ring;
static int pipe_fds[2];
static bool usable = true;

static void arm(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, pipe_fds[0], POLLIN);
	sqe->user_data = 42;
	ring_submit(&ring, 1);
}

static void check(int round)
{
	char byte;

	(void)round;
	if (!usable)
		return;
	SCENARIO_REQUIRE(write(pipe_fds[1], "x", 1) == 1, "%m");
	SCENARIO_CHECK(ring_expect(&ring, 42, "poll") == POLLIN, "poll");
	SCENARIO_REQUIRE(read(pipe_fds[0], &byte, 1) == 1, "%m");
	arm();
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	struct io_uring_params params = {.sq_thread_idle = 50};

	scenario_init();
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	if (!strcmp(kind, "sqpoll"))
		params.flags = IORING_SETUP_SQPOLL;
	else if (!strcmp(kind, "defer"))
		params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	if (!strcmp(kind, "registered"))
		SCENARIO_REQUIRE(io_uring_register_ring_fd(&ring) == 1, "register the ring");
	arm();
	if (!strcmp(kind, "registered") || !strcmp(kind, "mapped"))
		close(ring.ring_fd);
	usable = strcmp(kind, "mapped") != 0;
	return scenario_main(check);
}
