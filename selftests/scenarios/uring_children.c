// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// IORING_OP_WAITID for children that stop, that go on, that a descriptor names which is another file by now, and that
// are of the program's own group: each is told once, of the right child. So are waits by a descriptor and for the group
// that begin later, behind a read. argv[1] "refused": one that waits for a child
// to stop which is stopped already.
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define OP_WAITID     50
#define WAIT_BY_PIDFD 3 /* P_PIDFD */

enum { STOPS = 1, GOES_ON, BY_DESCRIPTOR, OF_GROUP, LATER_BY_DESCRIPTOR, LATER_OF_GROUP, KINDS, READ };

static struct io_uring ring;
static pid_t children[KINDS];
static siginfo_t infos[KINDS];
static int pipes[KINDS][2], descriptor = -1;
static char byte;

static pid_t start(int own_group)
{
	pid_t pid = fork();

	SCENARIO_REQUIRE(pid >= 0, "%m");
	if (pid) {
		if (own_group)
			setpgid(pid, pid);
		return pid;
	}
	if (own_group)
		setpgid(0, 0);
	for (;;)
		pause();
}

/* Seen by the program. */
static void stop(pid_t pid)
{
	int status;

	SCENARIO_REQUIRE(!kill(pid, SIGSTOP) && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "%m");
}

static bool is_of_group(int what)
{
	return what == OF_GROUP || what == LATER_OF_GROUP;
}

static void prepare_wait(int what, int type, int number, unsigned options)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_rw(OP_WAITID, sqe, number, NULL, type, (unsigned long)&infos[what]);
	sqe->file_index = options;
	sqe->user_data = (unsigned long long)what;
	memset(&infos[what], 0, sizeof(infos[what]));
}

static void submit_wait(int what, int type, int number, unsigned options)
{
	prepare_wait(what, type, number, options);
	ring_submit(&ring, 1);
}

static void submit_later(int what, int type, int number)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipes[what][0], &byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = READ;
	prepare_wait(what, type, number, WEXITED);
	ring_submit(&ring, 2);
}

static void wait_by_descriptor(void)
{
	int fd = (int)syscall(SYS_pidfd_open, children[BY_DESCRIPTOR], 0), other = dup(1);

	SCENARIO_REQUIRE(fd >= 0 && other >= 0, "%m");
	submit_wait(BY_DESCRIPTOR, WAIT_BY_PIDFD, fd, WEXITED);
	SCENARIO_REQUIRE(dup2(other, fd) == fd, "%m");
	close(other);
	close(fd);
}

static void arm_all(void)
{
	submit_wait(STOPS, P_PID, children[STOPS], WSTOPPED);
	submit_wait(GOES_ON, P_PID, children[GOES_ON], WCONTINUED);
	wait_by_descriptor();
	submit_wait(OF_GROUP, P_PGID, 0, WEXITED);
	close(descriptor);
	descriptor = (int)syscall(SYS_pidfd_open, children[LATER_BY_DESCRIPTOR], 0);
	submit_later(LATER_BY_DESCRIPTOR, WAIT_BY_PIDFD, descriptor);
	submit_later(LATER_OF_GROUP, P_PGID, 0);
}

static void expect(int what, int code, int status)
{
	ring_expect_result(&ring, what, 0);
	SCENARIO_CHECK(
		infos[what].si_pid == children[what] && infos[what].si_code == code && infos[what].si_status == status,
		"%d: pid %d, code %d, status %d", what, infos[what].si_pid, infos[what].si_code, infos[what].si_status);
	ring_expect_nothing(&ring, "told once");
}

static void check(int round)
{
	(void)round;
	if (!children[STOPS])
		return;
	ring_expect_nothing(&ring, "at rest");
	SCENARIO_CHECK(!kill(children[STOPS], SIGSTOP), "%m");
	expect(STOPS, CLD_STOPPED, SIGSTOP);
	SCENARIO_CHECK(!kill(children[STOPS], SIGCONT), "%m");
	SCENARIO_CHECK(!kill(children[GOES_ON], SIGCONT), "%m");
	expect(GOES_ON, CLD_CONTINUED, SIGCONT);
	stop(children[GOES_ON]);
	ring_expect_nothing(&ring, "no stop is waited for");
	for (int what = BY_DESCRIPTOR; what < KINDS; what++) {
		if (what >= LATER_BY_DESCRIPTOR) {
			put(pipes[what][1], "x");
			ring_expect_result(&ring, READ, 1);
		}
		SCENARIO_CHECK(!kill(children[what], SIGKILL), "%m");
		expect(what, CLD_KILLED, SIGKILL);
		children[what] = start(!is_of_group(what));
	}
	arm_all();
}

/* Of two that wait for any child to stop or none, one is stopped. */
static void set_up_refused(void)
{
	pid_t child = start(0);

	stop(child);
	submit_wait(STOPS, P_ALL, 0, WSTOPPED);
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	if (!ring_knows(&ring, OP_WAITID))
		scenario_skip("no IORING_OP_WAITID");
	scenario_tell("ring", "%d", ring.ring_fd);
	if (argc > 1 && !strcmp(argv[1], "refused")) {
		set_up_refused();
		return scenario_main(check);
	}
	for (int what = STOPS; what < KINDS; what++) {
		children[what] = start(!is_of_group(what));
		SCENARIO_REQUIRE(!pipe(pipes[what]), "%m");
	}
	stop(children[GOES_ON]);
	arm_all();
	return scenario_main(check);
}
