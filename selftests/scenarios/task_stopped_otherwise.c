// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A child that SIGTSTP has stopped and could not stop again as it did: it has it blocked, but for the wait that it was
// in; or its group is orphaned by now, where SIGTSTP does nothing and SIGSTOP has to do.
#include "selftests/scenarios/scenario.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct child {
	pid_t pid;
	volatile long ticks;
} *blocked, *orphaned; /* one of them, shared with it */

static void run_blocked(void)
{
	struct timespec tick = {.tv_nsec = 1000000};
	sigset_t stop, none;

	sigemptyset(&none);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	for (;;) {
		ppoll(NULL, 0, &tick, &none);
		blocked->ticks++;
	}
}

static void run_orphaned(void)
{
	for (;;) {
		scenario_sleep_ms(1);
		orphaned->ticks++;
	}
}

static void stop(const struct child *child)
{
	SCENARIO_CHECK(setpgid(child->pid, child->pid) == 0, "setpgid: %m");
	kill(child->pid, SIGTSTP);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(child->pid) == 'T', 10), "%d does not stop", child->pid);
	if (child == orphaned)
		SCENARIO_CHECK(setpgid(child->pid, getpgid(0)) == 0, "setpgid: %m");
}

static void start(struct child *child, void (*run)(void))
{
	pid_t pid = fork();

	SCENARIO_REQUIRE(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	child->pid = pid;
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(child->ticks > 0, 10), "no child");
	stop(child);
}

/* Before the first round there was no restore yet. */
static void check_child(const struct child *child, int round)
{
	siginfo_t info = {};
	int wanted = child == blocked || round == 1 ? SIGTSTP : SIGSTOP;
	long ticks;

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(scenario_state_of(child->pid) == 'T', 10), "%d is %c", child->pid,
		       scenario_state_of(child->pid));
	SCENARIO_CHECK(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOHANG) == 0, "waitid: %m");
	SCENARIO_CHECK(info.si_pid == child->pid && info.si_status == wanted, "%d: stopped by %d", info.si_pid,
		       info.si_status);
	ticks = child->ticks;
	scenario_sleep_ms(20);
	SCENARIO_CHECK(child->ticks == ticks, "%d runs", child->pid);
	kill(child->pid, SIGCONT);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(child->ticks > ticks, 10), "%d does not go on", child->pid);
	stop(child);
}

static void check(int round)
{
	if (blocked)
		check_child(blocked, round);
	else
		check_child(orphaned, round);
}

static struct child *new_child(void)
{
	struct child *child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(child != MAP_FAILED, "%m");
	return child;
}

static void set_up_blocked(void)
{
	blocked = new_child();
	start(blocked, run_blocked);
}

static void set_up_orphaned(void)
{
	orphaned = new_child();
	start(orphaned, run_orphaned);
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"blocked", set_up_blocked},
		{"orphaned", set_up_orphaned},
	};

	return scenario_state_main(argc, argv, states, 2, check);
}
