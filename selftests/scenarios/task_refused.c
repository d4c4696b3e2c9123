// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// State of a task that a dump refuses by name; argv[1] says which.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int round)
{
	(void)round;
}

static void filter_syscalls(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = 1, .filter = &allow};

	SCENARIO_REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	SCENARIO_REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

/* The child is traced by us, its parent: by nobody outside of the tree, but still by somebody. */
static void trace_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	SCENARIO_REQUIRE(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, "seize");
}

static void enter_uts_namespace(void)
{
	if (unshare(CLONE_NEWUTS))
		scenario_skip("unshare: %s", strerror(errno));
}

/* The child is in the namespace, not we. */
static void make_pid_namespace(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		scenario_skip("unshare: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	SCENARIO_REQUIRE(pid > 0, "fork");
	scenario_tell("child", "%d", pid);
}

static uint8_t selector;

static void dispatch_syscalls(void)
{
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector))
		scenario_skip("PR_SET_SYSCALL_USER_DISPATCH: %s", strerror(errno));
}

static int wait_for_ever(void *unused)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!unused)
		pause();
	return 0;
}

static void clone_child(int flags)
{
	static char stack[65536] __attribute__((aligned(16)));

	SCENARIO_REQUIRE(clone(wait_for_ever, stack + sizeof(stack), flags | SIGCHLD, NULL) > 0, "clone: %s",
			 strerror(errno));
}

static void share_memory(void)
{
	clone_child(CLONE_VM);
}

/* Two siblings have one table, which their parent left. */
static void share_descriptors(void)
{
	clone_child(CLONE_FILES);
	clone_child(CLONE_FILES);
	SCENARIO_REQUIRE(unshare(CLONE_FILES) == 0, "unshare: %s", strerror(errno));
}

static void share_directory(void)
{
	clone_child(CLONE_FS);
	clone_child(CLONE_FS);
	SCENARIO_REQUIRE(unshare(CLONE_FS) == 0, "unshare: %s", strerror(errno));
}

static void block_sigtrap(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTRAP);
}

static bool first_has_exited(pid_t pid)
{
	char path[64], line[512] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	if (file)
		fclose(file);
	return end && end[2] == 'Z';
}

static void *have_many_groups(void *ready)
{
	gid_t groups[1001];

	for (int i = 0; i < 1001; i++)
		groups[i] = 5000 + (gid_t)i;
	SCENARIO_REQUIRE(!syscall(SYS_setgroups, 1001, groups), "%m");
	*(volatile bool *)ready = true;
	for (;;)
		pause();
	return NULL;
}

static void start_thread_with_groups(void)
{
	static bool ready;
	pthread_t thread;

	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, have_many_groups, &ready), "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(*(volatile bool *)&ready, 10), "the thread does not start");
}

static void *outlive(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Of a child that its first thread has left. */
static void leave_signal_to_heir(void)
{
	siginfo_t info = {};
	pthread_t thread;
	sigset_t set;
	pid_t child = fork();

	SCENARIO_REQUIRE(child >= 0, "%m");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		pthread_create(&thread, NULL, outlive, NULL);
		kill(getpid(), SIGUSR1);
		syscall(SYS_exit, 0);
	}
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(kill(child, 0) || first_has_exited(child), 10), "it does not exit");
	SCENARIO_REQUIRE(!waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid, "it has ended");
}

static void time_ended_child(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	clockid_t clock;
	int timer;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	SCENARIO_REQUIRE(pid > 0 && !clock_getcpuclockid(pid, &clock), "fork");
	SCENARIO_REQUIRE(!syscall(SYS_timer_create, clock, &event, &timer) && !timer, "%m");
	kill(pid, SIGKILL);
	SCENARIO_REQUIRE(waitpid(pid, NULL, 0) == pid, "waitpid");
}

static void time_parent(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	clockid_t clock;
	int timer;

	SCENARIO_REQUIRE(!clock_getcpuclockid(getppid(), &clock), "no clock");
	SCENARIO_REQUIRE(!syscall(SYS_timer_create, clock, &event, &timer) && !timer, "%m");
}

static const struct scenario_state states[] = {
	{"seccomp", filter_syscalls},         {"traced", trace_child},         {"uts", enter_uts_namespace},
	{"pid", make_pid_namespace},          {"dispatch", dispatch_syscalls}, {"vm", share_memory},
	{"files", share_descriptors},         {"fs", share_directory},         {"sigtrap", block_sigtrap},
	{"groups", start_thread_with_groups}, {"heir", leave_signal_to_heir},  {"timer", time_ended_child},
	{"outer_timer", time_parent},
};

int main(int argc, char **argv)
{
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(states[0]), check);
}
