// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Polls that repeat, on an inotify instance and on processes that live and that are gone: each event is told once, and
// what was told before the dump is not told again. argv[1] "zombie": of a process that nobody has waited for.
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum { INOTIFY = 1, LIVING, GONE };

static struct io_uring ring;
static int inotify, living = -1, gone;
static pid_t child;

static void arm(int what, int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	sqe->user_data = (unsigned long long)what;
	ring_submit(&ring, 1);
}

static void start_child(void)
{
	if (living >= 0)
		close(living);
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (!child)
		for (;;)
			pause();
	living = (int)syscall(SYS_pidfd_open, child, 0);
	SCENARIO_REQUIRE(living >= 0, "%m");
	arm(LIVING, living);
}

/* Its poll stays, and has nothing more to tell. */
static void end_child(void)
{
	int result;

	SCENARIO_REQUIRE(!kill(child, SIGKILL), "%m");
	result = ring_expect(&ring, LIVING, "a process that ends");
	SCENARIO_CHECK(result & POLLIN, "events %x", result);
}

static void cancel(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_cancel64(sqe, (unsigned long long)what, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	ring_submit(&ring, 1);
	/* That a process has been waited for may be told, too. */
	while (ring_expect(&ring, (unsigned long long)what, "cancelled") >= 0)
		;
}

static void check(int round)
{
	char text[4096];

	(void)round;
	ring_expect_nothing(&ring, "at rest");
	for (int times = 0; times < 2; times++) {
		SCENARIO_REQUIRE(!mkdir("watched/new", 0700), "%m");
		ring_expect_result(&ring, INOTIFY, POLLIN);
		SCENARIO_CHECK(read(inotify, text, sizeof(text)) > 0, "%m");
		SCENARIO_REQUIRE(!rmdir("watched/new"), "%m");
		ring_expect_nothing(&ring, "nobody watches for that");
	}
	if (child) {
		end_child();
		SCENARIO_REQUIRE(waitpid(child, NULL, 0) == child, "%m");
		cancel(LIVING);
		cancel(GONE);
		close(gone);
		gone = dup(living);
		arm(GONE, gone);
		SCENARIO_CHECK(ring_expect(&ring, GONE, "gone") & POLLIN, "not told");
		start_child();
	}
	ring_expect_nothing(&ring, "after the round");
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	scenario_tell("ring", "%d", ring.ring_fd);
	inotify = inotify_init1(IN_CLOEXEC);
	SCENARIO_REQUIRE(
		inotify >= 0 && !mkdir("watched", 0700) && inotify_add_watch(inotify, "watched", IN_CREATE) > 0, "%m");
	arm(INOTIFY, inotify);
	start_child();
	if (argc > 1 && !strcmp(argv[1], "zombie")) {
		end_child();
		child = 0;
		return scenario_main(check);
	}
	end_child();
	SCENARIO_REQUIRE(waitpid(child, NULL, 0) == child, "%m");
	cancel(LIVING);
	gone = dup(living);
	arm(GONE, gone);
	SCENARIO_CHECK(ring_expect(&ring, GONE, "gone") & POLLIN, "not told");
	start_child();
	return scenario_main(check);
}
