// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Droppable memory (MAP_DROPPABLE), as getrandom(3) has it: the kernel may take its pages away at any time, and does so
// in children. After a restore it is what it was, but empty.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

#define SIZE (1 << 20)

static char *memory;

/* "VmFlags: rd wr mr mw me nr dp" behind the mapping's line. */
static bool is_droppable(const char *address)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	bool here = false, found = false;
	unsigned long start, end;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)address && (unsigned long)address < end;
		else if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, " dp") && strstr(line, " wf");
	}
	if (maps)
		fclose(maps);
	return found;
}

/* Or zero, where the kernel has taken a page. */
static bool is_all(const char *bytes, char byte)
{
	for (size_t i = 0; i < SIZE; i++)
		if (bytes[i] && bytes[i] != byte)
			return false;
	return true;
}

static void check(int round)
{
	int status = -1;
	pid_t child;

	SCENARIO_CHECK(is_droppable(memory), "round %d: it is not droppable", round);
	SCENARIO_CHECK(is_all(memory, 'm'), "round %d: it has other content", round);
	memset(memory, 'm', SIZE);
	child = fork();
	if (child == 0)
		_exit(is_all(memory, 0) ? 0 : 1);
	SCENARIO_CHECK(waitpid(child, &status, 0) == child && status == 0, "the child has its content");
	SCENARIO_CHECK(is_all(memory, 'm'), "it has lost a part");
}

int main(void)
{
	scenario_init();
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		scenario_skip("MAP_DROPPABLE: %s", strerror(errno));
	memset(memory, 'm', SIZE);
	return scenario_main(check);
}
