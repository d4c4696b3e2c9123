// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Children with threads, stopped by job control: one whose parent has been told, and one whose parent has not. No
// thread runs until SIGCONT, then all do.
#include "selftests/scenarios/scenario.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

static struct child {
	pid_t pid;
	bool seen;
	_Atomic long ticks[THREADS];
} *children; /* two, shared with them */

static void *tick(void *ticks)
{
	for (;;) {
		++*(_Atomic long *)ticks;
		scenario_sleep_ms(1);
	}
	return NULL;
}

static void run_child(struct child *child)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0); /* SIGTSTP does not stop members of an orphaned group */
	for (int i = 1; i < THREADS; i++)
		pthread_create(&thread, NULL, tick, (void *)&child->ticks[i]);
	tick((void *)&child->ticks[0]);
}

static long least_ticks(const struct child *child)
{
	long least = child->ticks[0];

	for (int i = 1; i < THREADS; i++)
		if (child->ticks[i] < least)
			least = child->ticks[i];
	return least;
}

/* Of all threads; '?' if they differ. */
static char state_of(pid_t pid)
{
	char path[300], line[512], state = 0, *end;
	const struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, entry->d_name);
		file = fopen(path, "r");
		end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
		if (file)
			fclose(file);
		if (!end || (state && state != end[2])) {
			state = '?';
			break;
		}
		state = end[2];
	}
	if (tasks)
		closedir(tasks);
	return state;
}

static void stop(struct child *child)
{
	kill(child->pid, SIGTSTP);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(state_of(child->pid) == 'T', 10), "%d does not stop", child->pid);
	if (child->seen)
		SCENARIO_CHECK(waitpid(child->pid, NULL, WUNTRACED) == child->pid, "waitpid");
}

static void check_child(struct child *child)
{
	siginfo_t info = {};
	long ticks;

	/* A thread that is let go by its tracer may have no CPU yet to stop on. */
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(state_of(child->pid) == 'T', 10), "%d is %c", child->pid,
		       state_of(child->pid));
	ticks = least_ticks(child);
	SCENARIO_CHECK(waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOWAIT | WNOHANG) == 0, "waitid");
	SCENARIO_CHECK((info.si_pid == 0) == child->seen, "%d: report %d", child->pid, info.si_pid);
	SCENARIO_CHECK(child->seen || info.si_status == SIGTSTP, "%d: stopped by %d", child->pid, info.si_status);
	scenario_sleep_ms(20);
	SCENARIO_CHECK(least_ticks(child) == ticks, "%d runs", child->pid);
	kill(child->pid, SIGCONT);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(least_ticks(child) > ticks, 10), "%d does not go on", child->pid);
	stop(child);
}

static void check(int round)
{
	(void)round;
	check_child(&children[0]);
	check_child(&children[1]);
}

int main(void)
{
	scenario_init();
	children = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(children != MAP_FAILED, "%m");
	children[1].seen = true;
	for (struct child *child = children; child < children + 2; child++) {
		pid_t pid = fork();

		if (pid == 0)
			run_child(child);
		child->pid = pid;
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(least_ticks(child) > 0, 10), "no threads");
		stop(child);
	}
	return scenario_main(check);
}
