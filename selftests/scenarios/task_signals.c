// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signal masks, actions, alternate stacks, and queues with their siginfo in order, of the process and of each thread.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REALTIME SIGRTMIN

static char stack[64 << 10];
static atomic_int thread_tid, thread_round, thread_done;

static void handler(int signal)
{
	(void)signal;
}

static void send_to(pid_t tid, int signal, int value)
{
	siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	SCENARIO_CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal, &info) == 0, "tgsigqueue");
}

static void send_to_process(void)
{
	SCENARIO_CHECK(sigqueue(getpid(), REALTIME, (union sigval){.sival_int = 11}) == 0, "sigqueue");
	SCENARIO_CHECK(sigqueue(getpid(), REALTIME + 1, (union sigval){.sival_int = 21}) == 0, "sigqueue");
	SCENARIO_CHECK(sigqueue(getpid(), REALTIME, (union sigval){.sival_int = 12}) == 0, "sigqueue");
	SCENARIO_CHECK(kill(getpid(), SIGUSR1) == 0, "kill");
}

static void expect(int signal, int code, int value)
{
	struct timespec now = {};
	siginfo_t info = {};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	SCENARIO_CHECK(sigtimedwait(&set, &info, &now) == signal, "signal %d is not pending", signal);
	SCENARIO_CHECK(info.si_code == code, "signal %d: code %d", signal, info.si_code);
	SCENARIO_CHECK(info.si_pid == getpid(), "signal %d: from %d", signal, info.si_pid);
	if (code == SI_QUEUE)
		SCENARIO_CHECK(info.si_value.sival_int == value, "signal %d: %d", signal, info.si_value.sival_int);
}

/* A thread's own queue comes before the process's. */
static void expect_own(int first, int second)
{
	expect(SIGUSR2, SI_USER, 0); /* glibc turns SI_TKILL into this */
	expect(REALTIME + 2, SI_QUEUE, first);
	expect(REALTIME + 2, SI_QUEUE, second);
}

static void send_own(int first, int second)
{
	send_to(gettid(), REALTIME + 2, first);
	send_to(gettid(), REALTIME + 2, second);
	SCENARIO_CHECK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2) == 0, "tgkill");
}

static void *thread_main(void *arg)
{
	sigset_t mask;

	sigfillset(&mask);
	sigdelset(&mask, SIGWINCH);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	send_own(51, 52);
	thread_tid = gettid();
	for (int round = 1;; round++) {
		while (thread_round < round)
			scenario_sleep_ms(1);
		expect_own(51, 52);
		send_own(51, 52);
		thread_done = round;
	}
	return arg;
}

static void check_actions(void)
{
	struct sigaction action;
	stack_t alt;

	sigaction(SIGUSR1, NULL, &action);
	SCENARIO_CHECK(action.sa_handler == handler, "handler");
	SCENARIO_CHECK((action.sa_flags & ~0x04000000) == (SA_RESTART | SA_ONSTACK), "flags %x", action.sa_flags);
	SCENARIO_CHECK(sigismember(&action.sa_mask, SIGHUP) == 1 && sigismember(&action.sa_mask, SIGINT) == 0, "mask");
	sigaction(SIGPIPE, NULL, &action);
	SCENARIO_CHECK(action.sa_handler == SIG_IGN, "SIGPIPE");
	sigaltstack(NULL, &alt);
	SCENARIO_CHECK(alt.ss_sp == stack && alt.ss_size == sizeof(stack) && alt.ss_flags == 0, "altstack %p %x",
		       alt.ss_sp, alt.ss_flags);
}

static void check(int round)
{
	sigset_t mask, set;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	SCENARIO_CHECK(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGWINCH) == 0, "mask");
	check_actions();
	expect_own(41, 42);
	expect(REALTIME, SI_QUEUE, 11);
	expect(REALTIME, SI_QUEUE, 12);
	expect(REALTIME + 1, SI_QUEUE, 21);
	expect(SIGUSR1, SI_USER, 0);
	thread_round = round;
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(thread_done == round, 10), "the thread does not answer");
	sigpending(&set);
	SCENARIO_CHECK(sigisemptyset(&set), "more signals than expected");
	send_own(41, 42);
	send_to_process();
}

int main(void)
{
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
	pthread_t thread;
	sigset_t mask;

	scenario_init();
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGHUP);
	SCENARIO_REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
	signal(SIGPIPE, SIG_IGN);
	SCENARIO_REQUIRE(sigaltstack(&alt, NULL) == 0, "sigaltstack");
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGUSR2);
	for (int i = 0; i < 3; i++)
		sigaddset(&mask, REALTIME + i);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, thread_main, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(thread_tid, 10), "the thread does not start");
	send_own(41, 42);
	send_to_process();
	scenario_tell("thread", "%d", thread_tid);
	scenario_tell("realtime", "%d", REALTIME);
	scenario_tell("handler", "%lu", (unsigned long)handler);
	scenario_tell("stack", "%lu", (unsigned long)stack);
	return scenario_main(check);
}
