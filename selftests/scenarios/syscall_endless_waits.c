// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// System calls that wait for ever, one per thread: each sleeps on until what it waits for happens.
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "selftests/scenarios/wait_threads.h"

static struct wait waits[];

static int polled_pipe[2], read_pipe[2], epolled_pipe[2], selected_pipe[2], child_pipe[2];
static int epoll, event;
static int futex_word;

static void poke(int fd)
{
	uint64_t one = 1;
	SCENARIO_CHECK(write(fd, &one, sizeof(one)) == sizeof(one), "write");
}

static long drain(int fd)
{
	uint64_t bytes;
	return read(fd, &bytes, sizeof(bytes));
}

static long run_poll(void)
{
	struct pollfd fd = {polled_pipe[0], POLLIN, 0};
	long result = syscall(SYS_poll, &fd, 1, -1);

	return result == 1 ? drain(polled_pipe[0]) : result;
}

static void trigger_poll(void)
{
	poke(polled_pipe[1]);
}

static long run_select(void)
{
	fd_set set;
	long result;

	FD_ZERO(&set);
	FD_SET(selected_pipe[0], &set);
	result = syscall(SYS_select, selected_pipe[0] + 1, &set, NULL, NULL, NULL);
	return result == 1 ? drain(selected_pipe[0]) : result;
}

static void trigger_select(void)
{
	poke(selected_pipe[1]);
}

static long run_epoll(void)
{
	struct epoll_event ready;
	long result = syscall(SYS_epoll_wait, epoll, &ready, 1, -1);

	return result == 1 ? drain(epolled_pipe[0]) : result;
}

static void trigger_epoll(void)
{
	poke(epolled_pipe[1]);
}

static long run_read(void)
{
	return drain(read_pipe[0]);
}

static void trigger_read(void)
{
	poke(read_pipe[1]);
}

static long run_eventfd(void)
{
	return drain(event);
}

static void trigger_eventfd(void)
{
	poke(event);
}

static long run_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void trigger_futex(void)
{
	syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static long run_sigwaitinfo(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8);
}

static void trigger_sigwaitinfo(void)
{
	kill(getpid(), SIGUSR2);
}

static long run_waitpid(void)
{
	char byte;
	pid_t pid = fork();

	if (pid == 0)
		_exit(read(child_pipe[0], &byte, 1) == 1 ? 0 : 1);
	return waitpid(pid, NULL, 0);
}

static void trigger_waitpid(void)
{
	SCENARIO_CHECK(write(child_pipe[1], "x", 1) == 1, "write");
}

static void on_signal(int signal)
{
	(void)signal;
}

/* Its end is a handler, and so an EINTR of its own. */
static long run_pause(void)
{
	return pause();
}

static long run_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigaddset(&none, SIGUSR2);
	return sigsuspend(&none);
}

enum { POLL, SELECT, EPOLL, READ, EVENTFD, FUTEX, SIGWAITINFO, WAITPID, PAUSE, SIGSUSPEND, WAITS };

static void trigger_pause(void)
{
	syscall(SYS_tgkill, getpid(), waits[PAUSE].tid, SIGUSR1);
}

static void trigger_sigsuspend(void)
{
	syscall(SYS_tgkill, getpid(), waits[SIGSUSPEND].tid, SIGUSR1);
}

static struct wait waits[WAITS] = {
	[POLL] = {.name = "poll", .run = run_poll, .trigger = trigger_poll},
	[SELECT] = {.name = "select", .run = run_select, .trigger = trigger_select},
	[EPOLL] = {.name = "epoll_wait", .run = run_epoll, .trigger = trigger_epoll},
	[READ] = {.name = "read a pipe", .run = run_read, .trigger = trigger_read},
	[EVENTFD] = {.name = "read an eventfd", .run = run_eventfd, .trigger = trigger_eventfd},
	[FUTEX] = {.name = "futex wait", .run = run_futex, .trigger = trigger_futex},
	[SIGWAITINFO] = {.name = "sigwaitinfo", .run = run_sigwaitinfo, .trigger = trigger_sigwaitinfo},
	[WAITPID] = {.name = "waitpid", .run = run_waitpid, .trigger = trigger_waitpid},
	[PAUSE] = {.name = "pause", .run = run_pause, .trigger = trigger_pause, .error = EINTR},
	[SIGSUSPEND] = {.name = "sigsuspend", .run = run_sigsuspend, .trigger = trigger_sigsuspend, .error = EINTR},
};

static void check(int round)
{
	(void)round;
	waits_again(waits, WAITS);
}

int main(void)
{
	struct epoll_event interest = {.events = EPOLLIN};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set;

	scenario_init();
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SCENARIO_REQUIRE(!pipe(polled_pipe) && !pipe(read_pipe) && !pipe(epolled_pipe) && !pipe(selected_pipe) &&
				 !pipe(child_pipe),
			 "pipe");
	event = eventfd(0, 0);
	epoll = epoll_create1(0);
	SCENARIO_REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, epolled_pipe[0], &interest) == 0, "epoll_ctl");
	waits_start(waits, WAITS);
	return scenario_main(check);
}
