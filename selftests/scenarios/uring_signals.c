// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests on signalfds: a read for a signal, one for all others, a poll, a poll that repeats. The process has a child
// that has ended and one that is stopped, of which it was told. Arguments: flags of the ring; "pending": the poll that
// repeats has told of a signal that nobody has taken yet.
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define DEFER_TASKRUN (1U << 13)

enum { READ = 1, READ_ANY, POLL, POLL_MULTI };

static struct io_uring ring;
static int fds[POLL_MULTI + 1];
static struct signalfd_siginfo told[READ_ANY + 1];
static pid_t child;
static bool left_pending;

static int signal_of(int what)
{
	return what == READ ? SIGUSR1 : what == POLL ? SIGUSR2 : SIGRTMIN + 2;
}

static void arm(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	if (what <= READ_ANY)
		io_uring_prep_read(sqe, fds[what], &told[what], sizeof(told[what]), 0);
	else if (what == POLL)
		io_uring_prep_poll_add(sqe, fds[what], POLLIN);
	else
		io_uring_prep_poll_multishot(sqe, fds[what], POLLIN);
	sqe->user_data = (unsigned long long)what;
	ring_submit(&ring, 1);
}

static void expect_signal(int what, int signal)
{
	ring_expect_result(&ring, what, sizeof(told[what]));
	SCENARIO_CHECK((int)told[what].ssi_signo == signal, "signal %u in place of %d", told[what].ssi_signo, signal);
	memset(&told[what], 0, sizeof(told[what]));
	arm(what);
}

static void take_signal(int what)
{
	struct signalfd_siginfo info = {0};

	SCENARIO_CHECK(read(fds[what], &info, sizeof(info)) == sizeof(info) && (int)info.ssi_signo == signal_of(what),
		       "signal %u", info.ssi_signo);
}

static void check_any(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(3);
	ring_expect_result(&ring, READ_ANY, sizeof(told[READ_ANY]));
	SCENARIO_CHECK(told[READ_ANY].ssi_signo == SIGCHLD && told[READ_ANY].ssi_pid == (unsigned)pid, "signal %u",
		       told[READ_ANY].ssi_signo);
	SCENARIO_CHECK(waitpid(pid, NULL, 0) == pid, "%m");
	arm(READ_ANY);
	SCENARIO_REQUIRE(!kill(getpid(), SIGTRAP), "%m");
	expect_signal(READ_ANY, SIGTRAP);
}

static void check(int round)
{
	(void)round;
	if (left_pending)
		expect_signal(READ, SIGUSR1);
	ring_expect_nothing(&ring, "at rest");
	SCENARIO_REQUIRE(!kill(getpid(), SIGUSR1), "%m");
	expect_signal(READ, SIGUSR1);
	check_any();
	SCENARIO_REQUIRE(!kill(getpid(), SIGUSR2), "%m");
	ring_expect_result(&ring, POLL, POLLIN);
	take_signal(POLL);
	arm(POLL);
	for (int times = 0; times < 2; times++) {
		SCENARIO_REQUIRE(!kill(getpid(), signal_of(POLL_MULTI)), "%m");
		ring_expect_result(&ring, POLL_MULTI, POLLIN);
		take_signal(POLL_MULTI);
	}
	ring_expect_nothing(&ring, "after the round");
	/* With DEFER_TASKRUN nobody comes for it before the next round. */
	if (left_pending)
		SCENARIO_REQUIRE(!kill(getpid(), SIGUSR1), "%m");
}

static void check_pending(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "at rest");
	take_signal(POLL_MULTI);
	SCENARIO_REQUIRE(!kill(getpid(), signal_of(POLL_MULTI)), "%m");
	ring_expect_result(&ring, POLL_MULTI, POLLIN);
}

static int signalfd_of(const sigset_t *mask)
{
	int fd = signalfd(-1, mask, SFD_CLOEXEC);

	SCENARIO_REQUIRE(fd >= 0, "%m");
	return fd;
}

/* Who tells of them by now is the one that reads all signals. */
static void make_children(void)
{
	pid_t ended = fork();

	if (!ended)
		_exit(0);
	expect_signal(READ_ANY, SIGCHLD);
	child = fork();
	if (!child)
		for (;;)
			pause();
	SCENARIO_REQUIRE(child > 0 && !kill(child, SIGSTOP), "%m");
	expect_signal(READ_ANY, SIGCHLD);
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};
	sigset_t any, one;

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	sigfillset(&any);
	sigprocmask(SIG_SETMASK, &any, NULL);
	for (int what = READ; what <= POLL_MULTI; what++) {
		if (what == READ_ANY)
			continue;
		sigemptyset(&one);
		sigaddset(&one, signal_of(what));
		sigdelset(&any, signal_of(what));
		fds[what] = signalfd_of(&one);
	}
	sigdelset(&any, SIGCONT);
	fds[READ_ANY] = signalfd_of(&any);
	for (int what = READ; what <= POLL_MULTI; what++)
		arm(what);
	if (argc > 2) {
		SCENARIO_REQUIRE(!kill(getpid(), signal_of(POLL_MULTI)), "%m");
		ring_expect_result(&ring, POLL_MULTI, POLLIN);
		return scenario_main(check_pending);
	}
	make_children();
	left_pending = params.flags & DEFER_TASKRUN;
	if (left_pending)
		SCENARIO_REQUIRE(!kill(getpid(), SIGUSR1), "%m");
	return scenario_main(check);
}
