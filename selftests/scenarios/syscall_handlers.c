// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signal handlers that end, or do not end, the system calls that a thread was blocked in: SIGUSR1's is one with
// SA_RESTART, SIGUSR2's one without.
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "selftests/scenarios/wait_threads.h"

static struct wait waits[];
static int restarted_pipe[2], ended_pipe[2], polled_pipe[2];
static int epoll, futex_word, ended_futex;
static _Atomic int handled;

static void on_signal(int signal)
{
	(void)signal;
	handled++;
}

static void send_signal(int index, int signal)
{
	int before = handled;

	syscall(SYS_tgkill, getpid(), waits[index].tid, signal);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(handled > before, 10), "%s: the handler does not run", waits[index].name);
}

static long run_restarted_read(void)
{
	char byte;
	return read(restarted_pipe[0], &byte, 1);
}

static long run_ended_read(void)
{
	char byte;
	return read(ended_pipe[0], &byte, 1);
}

static long run_restarted_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long run_ended_futex(void)
{
	struct timespec time = {.tv_sec = 1000};
	return syscall(SYS_futex, &ended_futex, FUTEX_WAIT, 0, &time, NULL, 0);
}

static long run_epoll(void)
{
	struct epoll_event event;
	return syscall(SYS_epoll_wait, epoll, &event, 1, 1000000);
}

static long run_poll(void)
{
	struct pollfd fd = {polled_pipe[0], POLLIN, 0};
	return syscall(SYS_poll, &fd, 1, 1000000);
}

/* What remains is told to who asks. */
static long run_nanosleep(void)
{
	struct timespec time = {.tv_sec = 1000}, rest = {};
	long result = syscall(SYS_nanosleep, &time, &rest);

	SCENARIO_CHECK(rest.tv_sec > 900 && rest.tv_sec < 1000, "%ld s remain", rest.tv_sec);
	return result;
}

enum { RESTARTED_READ, ENDED_READ, RESTARTED_FUTEX, ENDED_FUTEX, EPOLL, POLL, NANOSLEEP, WAITS };

/* Still blocked after the handler; then ended by what it waits for. */
static void go_on(int index)
{
	send_signal(index, SIGUSR1);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(wait_sleeps(&waits[index]), 10), "%s does not sleep on", waits[index].name);
	SCENARIO_CHECK(!waits[index].done, "%s was ended by the handler", waits[index].name);
}

static void trigger_restarted_read(void)
{
	go_on(RESTARTED_READ);
	SCENARIO_CHECK(write(restarted_pipe[1], "x", 1) == 1, "write");
}

static void trigger_restarted_futex(void)
{
	go_on(RESTARTED_FUTEX);
	syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void trigger_ended_read(void)
{
	send_signal(ENDED_READ, SIGUSR2);
}

/* SA_RESTART does not help those. */
static void trigger_ended_futex(void)
{
	send_signal(ENDED_FUTEX, SIGUSR1);
}

static void trigger_epoll(void)
{
	send_signal(EPOLL, SIGUSR1);
}

static void trigger_poll(void)
{
	send_signal(POLL, SIGUSR1);
}

static void trigger_nanosleep(void)
{
	send_signal(NANOSLEEP, SIGUSR1);
}

static struct wait waits[WAITS] = {
	[RESTARTED_READ] = {.name = "read, restarted", .run = run_restarted_read, .trigger = trigger_restarted_read},
	[ENDED_READ] = {.name = "read, ended", .run = run_ended_read, .trigger = trigger_ended_read, .error = EINTR},
	[RESTARTED_FUTEX] = {.name = "futex, restarted",
			     .run = run_restarted_futex,
			     .trigger = trigger_restarted_futex},
	[ENDED_FUTEX] = {.name = "futex for a time",
			 .run = run_ended_futex,
			 .trigger = trigger_ended_futex,
			 .error = EINTR},
	[EPOLL] = {.name = "epoll_wait", .run = run_epoll, .trigger = trigger_epoll, .error = EINTR},
	[POLL] = {.name = "poll", .run = run_poll, .trigger = trigger_poll, .error = EINTR},
	[NANOSLEEP] = {.name = "nanosleep", .run = run_nanosleep, .trigger = trigger_nanosleep, .error = EINTR},
};

static void check(int round)
{
	(void)round;
	waits_again(waits, WAITS);
}

int main(void)
{
	struct epoll_event interest = {.events = EPOLLIN};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	scenario_init();
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = 0;
	sigaction(SIGUSR2, &action, NULL);
	SCENARIO_REQUIRE(!pipe(restarted_pipe) && !pipe(ended_pipe) && !pipe(polled_pipe), "pipe");
	epoll = epoll_create1(0);
	SCENARIO_REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, polled_pipe[0], &interest) == 0, "epoll_ctl");
	waits_start(waits, WAITS);
	return scenario_main(check);
}
