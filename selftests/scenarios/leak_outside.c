// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Shares something with a process that is no descendant any more: the first argument says what, pipe, socket, eventfd,
// memory (shared anonymous) or files (the fd table). The other process ends when this one does.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2] = {-1, -1};
static int self;

/* A pidfd of the program becomes readable when it ends. */
static void outlive_the_tree(void)
{
	struct pollfd end = {.fd = self, .events = POLLIN};

	prctl(PR_SET_NAME, "outsider");
	if (ends[1] >= 0)
		close(ends[1]);
	poll(&end, 1, -1);
	_exit(0);
}

static void check(int round)
{
	SCENARIO_CHECK(round > 0, "round %d", round);
}

static void fork_outsider(const char *what)
{
	long flags = !strcmp(what, "files") ? CLONE_FILES : 0;
	int report[2];
	pid_t outsider = 0;

	SCENARIO_REQUIRE(pipe2(report, O_CLOEXEC) == 0, "errno %d", errno);
	if (syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
		outsider = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
		if (outsider == 0) {
			if (!flags) {
				close(report[0]);
				close(report[1]);
			}
			outlive_the_tree();
		}
		_exit(write(report[1], &outsider, sizeof(outsider)) != sizeof(outsider));
	}
	SCENARIO_REQUIRE(read(report[0], &outsider, sizeof(outsider)) == sizeof(outsider) && outsider > 0, "errno %d",
			 errno);
	close(report[0]);
	close(report[1]);
	while (wait(NULL) > 0)
		;
	scenario_tell("outsider", "%d", outsider);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "pipe";

	scenario_init();
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	SCENARIO_REQUIRE(self >= 0, "errno %d", errno);
	if (!strcmp(what, "pipe"))
		SCENARIO_REQUIRE(pipe(ends) == 0, "errno %d", errno);
	else if (!strcmp(what, "socket"))
		SCENARIO_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "errno %d", errno);
	else if (!strcmp(what, "eventfd"))
		SCENARIO_REQUIRE((ends[0] = eventfd(0, 0)) >= 0, "errno %d", errno);
	else if (!strcmp(what, "memory"))
		SCENARIO_REQUIRE(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) !=
					 MAP_FAILED,
				 "errno %d", errno);
	fork_outsider(what);
	if (ends[1] >= 0) { /* the outsider keeps ends[0], we keep ends[1] */
		close(ends[0]);
		ends[0] = ends[1];
	}
	scenario_tell("fd", "%d", ends[0]);
	return scenario_main(check);
}
