// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A child that is stopped inside a poll(2) with a timeout: continued, it comes out of it in time. Nobody has seen when
// that ends: it does not sleep in the call by then.
#include "selftests/scenarios/scenario.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TIMEOUT_MS 1000

static struct {
	atomic_long timeouts, others;
} *polls; /* shared with the child */

static pid_t child;

static void run_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		++*(syscall(SYS_poll, NULL, 0, TIMEOUT_MS) == 0 ? &polls->timeouts : &polls->others);
}

static char state(void)
{
	char path[64], line[512];
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	file = fopen(path, "r");
	end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	if (file)
		fclose(file);
	return end ? end[2] : 0;
}

static long current_call(void)
{
	char path[64];
	long nr = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/syscall", child);
	file = fopen(path, "r");
	if (file && fscanf(file, "%ld", &nr) != 1)
		nr = -1;
	if (file)
		fclose(file);
	return nr;
}

static bool is_stopped_in_poll(void)
{
	kill(child, SIGSTOP);
	if (SCENARIO_EVENTUALLY(state() == 'T', 10) && current_call() == SYS_poll)
		return true;
	kill(child, SIGCONT);
	return false;
}

static void check(int round)
{
	long timeouts = polls->timeouts, others = polls->others;

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(state() == 'T', 10), "round %d: state %c", round, state());
	kill(child, SIGCONT);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(polls->timeouts > timeouts, 10), "round %d: it still waits", round);
	SCENARIO_CHECK(polls->others == others, "round %d: it ended otherwise", round);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(is_stopped_in_poll(), 10), "round %d: not in poll", round);
}

int main(void)
{
	scenario_init();
	polls = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(polls != MAP_FAILED, "%m");
	child = fork();
	if (child == 0)
		run_child();
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(polls->timeouts && is_stopped_in_poll(), 20), "not in poll");
	return scenario_main(check);
}
