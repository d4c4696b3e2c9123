// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Threads of one process with credentials of their own, which raw system calls give them: users, groups, capabilities,
// no_new_privs. The kernel tells what each has in /proc.
#include "selftests/scenarios/scenario.h"

#include <linux/capability.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { USER, GROUPS, CAPABILITIES, NO_NEW_PRIVS, PLAIN, THREADS };

static struct thread {
	_Atomic int tid;
	char before[2048];
} threads[THREADS];

static void change(int which)
{
	static const unsigned groups[] = {3001, 3002, 3003};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = 1 << CAP_KILL, .permitted = 1 << CAP_KILL | 1 << CAP_CHOWN}};
	long result = 0;

	if (which == USER)
		result = syscall(SYS_setresuid, 1001, 1002, 1003);
	else if (which == GROUPS)
		result = syscall(SYS_setgroups, 3, groups) || syscall(SYS_setresgid, 2001, 2002, 2003);
	else if (which == CAPABILITIES)
		result = syscall(SYS_capset, &header, data);
	else if (which == NO_NEW_PRIVS)
		result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	SCENARIO_REQUIRE(result == 0, "credentials %d: %m", which);
}

/* The lines of /proc/PID/task/TID/status that are about credentials. */
static void credentials_of(int tid, char *text, size_t size)
{
	static const char *const wanted[] = {"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:"};
	char path[64], line[1024];
	size_t length = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	SCENARIO_REQUIRE(file, "%s: %m", path);
	text[0] = 0;
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (!strncmp(line, wanted[i], strlen(wanted[i])) && length + strlen(line) < size)
				length += (size_t)snprintf(text + length, size - length, "%s", line);
	fclose(file);
}

static void *run(void *arg)
{
	struct thread *thread = arg;

	change((int)(thread - threads));
	thread->tid = gettid();
	for (;;)
		pause();
	return NULL;
}

static void check(int round)
{
	char now[2048];

	(void)round;
	for (int i = 0; i < THREADS; i++) {
		credentials_of(threads[i].tid, now, sizeof(now));
		SCENARIO_CHECK(!strcmp(threads[i].before, now), "thread %d had\n%sand has\n%s", i, threads[i].before,
			       now);
	}
	SCENARIO_CHECK(prctl(PR_GET_DUMPABLE) == 1, "dumpable %d", prctl(PR_GET_DUMPABLE));
}

int main(void)
{
	pthread_t id;

	scenario_init();
	for (int i = 0; i < THREADS; i++) {
		SCENARIO_REQUIRE(pthread_create(&id, NULL, run, &threads[i]) == 0, "thread");
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(threads[i].tid, 10), "thread %d does not start", i);
		credentials_of(threads[i].tid, threads[i].before, sizeof(threads[i].before));
	}
	SCENARIO_REQUIRE(!prctl(PR_SET_DUMPABLE, 1), "%m"); /* a change of credentials clears it */
	SCENARIO_REQUIRE(strstr(threads[USER].before, "1001\t1002\t1003"), "uid: %s", threads[USER].before);
	return scenario_main(check);
}
