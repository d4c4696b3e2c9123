// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Signals that wait for stopped children: SIGTERM, which ends the child when it goes on; SIGCHLD of a grandchild that
// has exited; SIGUSR1 in the queue of a thread. None is taken before SIGCONT, and none is lost.
#include "selftests/scenarios/scenario.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shared {
	pid_t grandchild;
	bool ready;
	volatile int chld, usr1;
} *shared;

static pid_t terminated, told;

static void count(int signal)
{
	if (signal == SIGUSR1)
		shared->usr1++;
	else if (waitpid(-1, NULL, WNOHANG) > 0)
		shared->chld++;
}

static void run_terminated(void)
{
	shared->ready = true;
	for (;;)
		pause();
}

static void run_told(void)
{
	pid_t pid;

	signal(SIGCHLD, count);
	signal(SIGUSR1, count);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	shared->grandchild = pid;
	shared->ready = true;
	for (;;)
		pause();
}

static pid_t start_stopped(void (*run)(void))
{
	pid_t pid;

	shared->ready = false;
	pid = fork();
	SCENARIO_REQUIRE(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(*(volatile bool *)&shared->ready, 10), "no child");
	kill(pid, SIGSTOP);
	SCENARIO_CHECK(waitpid(pid, NULL, WUNTRACED) == pid, "waitpid");
	return pid;
}

static void set_up(void)
{
	terminated = start_stopped(run_terminated);
	kill(terminated, SIGTERM);
	shared->chld = shared->usr1 = 0;
	told = start_stopped(run_told);
	syscall(SYS_tgkill, told, told, SIGUSR1);
	kill(shared->grandchild, SIGKILL);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(shared->grandchild) == 'Z', 10), "no zombie");
}

static void check(int round)
{
	int status = 0;

	(void)round;
	/* A thread that is let go by its tracer may have no CPU yet to stop on. */
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(terminated) == 'T', 10), "is %c",
		       scenario_state_of(terminated));
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(told) == 'T', 10), "is %c", scenario_state_of(told));
	SCENARIO_CHECK(!shared->chld && !shared->usr1, "handlers have run: %d, %d", shared->chld, shared->usr1);
	kill(terminated, SIGCONT);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(waitpid(terminated, &status, WNOHANG) == terminated, 2), "goes on");
	SCENARIO_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status %#x", status);
	kill(told, SIGCONT);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(shared->chld == 1 && shared->usr1 == 1, 2), "handlers have run: %d, %d",
		       shared->chld, shared->usr1);
	kill(terminated, SIGKILL);
	kill(told, SIGKILL);
	waitpid(terminated, NULL, 0);
	waitpid(told, NULL, 0);
	set_up();
}

int main(void)
{
	scenario_init();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(shared != MAP_FAILED, "%m");
	set_up();
	return scenario_main(check);
}
