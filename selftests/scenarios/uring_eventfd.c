// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Eventfds that rings have registered: "async" is told of what workers complete and of nothing else, "silent" of
// nothing while the program says so, "shared" by two rings; "closed" has no descriptor any more, "outside" only one of
// a process that is not of the tree.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

static struct io_uring rings[2];
static int ring_count = 1;
static int event = -1;
static const char *kind;

static bool is(const char *name)
{
	return !strcmp(kind, name);
}

static unsigned long long told(void)
{
	eventfd_t count = 0;

	if (eventfd_read(event, &count))
		SCENARIO_CHECK(errno == EAGAIN, "%m");
	return count;
}

static void complete(struct io_uring *ring, unsigned flags)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_nop(sqe);
	sqe->flags |= flags;
	sqe->user_data = 1;
	ring_submit(ring, 1);
	ring_expect_result(ring, 1, 0);
}

/* A worker tells after the completion is seen. */
static void check_async(void)
{
	unsigned long long count = 0;

	complete(&rings[0], 0);
	SCENARIO_CHECK(told() == 0, "told of a completion by the submitter");
	complete(&rings[0], IOSQE_ASYNC);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY((count += told()) == 1, 5), "told %llu times of a completion by a worker",
		       count);
}

static void check_silent(void)
{
	complete(&rings[0], 0);
	SCENARIO_CHECK(told() == 0, "told while it is disabled");
	io_uring_cq_eventfd_toggle(&rings[0], true);
	complete(&rings[0], 0);
	SCENARIO_CHECK(told() == 1, "not told while it is enabled");
	io_uring_cq_eventfd_toggle(&rings[0], false);
}

static void check(int round)
{
	int err, fresh;

	(void)round;
	if (is("async"))
		return check_async();
	if (is("silent"))
		return check_silent();
	for (int i = 0; i < ring_count; i++)
		complete(&rings[i], 0);
	if (event >= 0) {
		SCENARIO_CHECK(told() == (unsigned)ring_count, "not told by each ring");
		return;
	}
	fresh = eventfd(0, EFD_NONBLOCK);
	err = io_uring_register_eventfd(&rings[0], fresh);
	SCENARIO_CHECK(err == -EBUSY, "another eventfd: %d, so the first one is lost", err);
	close(fresh);
}

/* It has nothing else of the program, and ends with it. */
static void keep(int program)
{
	struct pollfd end = {.fd = program, .events = POLLIN};

	for (int i = 0; i < ring_count; i++)
		io_uring_queue_exit(&rings[i]);
	poll(&end, 1, -1);
	_exit(0);
}

/* A grandchild is nobody's descendant once its parent has exited. */
static void give_away(void)
{
	int program = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t child = fork();

	SCENARIO_REQUIRE(program >= 0 && child >= 0, "%m");
	if (!child) {
		if (!fork())
			keep(program);
		_exit(0);
	}
	SCENARIO_REQUIRE(waitpid(child, NULL, 0) == child, "%m");
	close(program);
}

int main(int argc, char **argv)
{
	scenario_init();
	kind = argc > 1 ? argv[1] : "";
	if (is("shared"))
		ring_count = 2;
	event = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < ring_count; i++) {
		int err = io_uring_queue_init(8, &rings[i], 0);

		SCENARIO_REQUIRE(!err, "a ring: %s", strerror(-err));
		err = is("async") ? io_uring_register_eventfd_async(&rings[i], event)
				  : io_uring_register_eventfd(&rings[i], event);
		SCENARIO_REQUIRE(!err, "register: %s", strerror(-err));
	}
	if (is("silent"))
		io_uring_cq_eventfd_toggle(&rings[0], false);
	if (is("outside"))
		give_away();
	if (is("closed") || is("outside")) {
		close(event);
		event = -1;
	}
	return scenario_main(check);
}
