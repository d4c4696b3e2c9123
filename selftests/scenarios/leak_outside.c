// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Shares something with a process that is no descendant any more: the first argument says what, pipe, socket, eventfd,
// memory (shared anonymous), files (the fd table), lock (an open file with a flock), flight (an eventfd on its way
// between two sockets of the other process), slot or request (an eventfd that here only a ring has). The other process
// ends when this one does.
#include "selftests/scenarios/uring_ring.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int ends[2] = {-1, -1};
static int self;
static bool in_flight;

/* No descriptor names it here any more, but one that is received will. */
static void send_away(int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = "", byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	int pair[2];

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || sendmsg(pair[0], &message, 0) != 1)
		_exit(1);
	close(fd);
}

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
		if (syscall(SYS_clone, flags, NULL, NULL, NULL, NULL) == 0) {
			if (in_flight)
				send_away(ends[0]);
			outsider = getpid();
			if (write(report[1], &outsider, sizeof(outsider)) != sizeof(outsider))
				_exit(1);
			if (!flags) {
				close(report[0]);
				close(report[1]);
			}
			outlive_the_tree();
		}
		_exit(0);
	}
	SCENARIO_REQUIRE(read(report[0], &outsider, sizeof(outsider)) == sizeof(outsider) && outsider > 0, "errno %d",
			 errno);
	close(report[0]);
	close(report[1]);
	while (wait(NULL) > 0)
		;
	scenario_tell("outsider", "%d", outsider);
}

static void leave_to_ring(bool slot)
{
	static struct io_uring ring;

	SCENARIO_REQUIRE(!io_uring_queue_init(4, &ring, 0), "%m");
	if (slot) {
		SCENARIO_REQUIRE(!io_uring_register_files(&ring, ends, 1), "%m");
	} else {
		io_uring_prep_poll_add(ring_sqe(&ring), ends[0], POLLIN);
		ring_submit(&ring, 1);
	}
	close(ends[0]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "pipe";
	bool slot = !strcmp(what, "slot"), in_ring = slot || !strcmp(what, "request");

	in_flight = !strcmp(what, "flight");
	scenario_init();
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	SCENARIO_REQUIRE(self >= 0, "errno %d", errno);
	if (!strcmp(what, "pipe"))
		SCENARIO_REQUIRE(pipe(ends) == 0, "errno %d", errno);
	else if (!strcmp(what, "socket"))
		SCENARIO_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "errno %d", errno);
	else if (!strcmp(what, "eventfd") || in_flight || in_ring)
		SCENARIO_REQUIRE((ends[0] = eventfd(0, 0)) >= 0, "errno %d", errno);
	else if (!strcmp(what, "lock"))
		SCENARIO_REQUIRE((ends[0] = open("locked", O_CREAT | O_RDWR, 0600)) >= 0 && !flock(ends[0], LOCK_EX),
				 "errno %d", errno);
	else if (!strcmp(what, "memory"))
		SCENARIO_REQUIRE(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) !=
					 MAP_FAILED,
				 "errno %d", errno);
	fork_outsider(what);
	if (in_ring)
		leave_to_ring(slot);
	if (ends[1] >= 0) { /* the outsider keeps ends[0], we keep ends[1] */
		close(ends[0]);
		ends[0] = ends[1];
	}
	scenario_tell("fd", "%d", ends[0]);
	return scenario_main(check);
}
