// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What /proc tells of an address space beside its pages: the auxiliary vector, command line, environment, executable,
// and the names of anonymous mappings where the kernel has them.
#include "selftests/scenarios/scenario.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define SIZE (4 << 20)

static const char *const kFiles[] = {"/proc/self/auxv", "/proc/self/cmdline", "/proc/self/environ"};
static struct {
	char bytes[4096];
	ssize_t length;
} before[3];
static char exe[256];
static uint8_t random_bytes[16];
static char *named;
static bool has_names;

static ssize_t read_whole(const char *path, char *bytes, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, bytes, size);

	close(fd);
	return length;
}

/* "7f1200000000-7f1200400000 rw-p 00000000 00:00 0    [anon:a name]" */
static bool has_name(const char *address, const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;
	unsigned long start;

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-", &start) == 1 && start == (unsigned long)address)
			found = strstr(line, name) != NULL;
	if (maps)
		fclose(maps);
	return found;
}

static void check(int round)
{
	char bytes[sizeof(before[0].bytes)], path[sizeof(exe)] = "";

	for (int i = 0; i < 3; i++) {
		ssize_t length = read_whole(kFiles[i], bytes, sizeof(bytes));

		SCENARIO_CHECK(length == before[i].length && length > 0 &&
				       !memcmp(bytes, before[i].bytes, (size_t)length),
			       "round %d: %s has %zd bytes, had %zd", round, kFiles[i], length, before[i].length);
	}
	SCENARIO_CHECK(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0 && !strcmp(path, exe), "exe is %s", path);
	SCENARIO_CHECK(!memcmp((void *)getauxval(AT_RANDOM), random_bytes, sizeof(random_bytes)), "AT_RANDOM");
	SCENARIO_CHECK(!memcmp((void *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG), "no vDSO");
	if (has_names) {
		SCENARIO_CHECK(has_name(named, "[anon:a name]"), "the mapping has lost its name");
		SCENARIO_CHECK(has_name(named + SIZE / 2, "[anon:another]"), "its second half has lost its name");
	}
}

int main(void)
{
	scenario_init();
	for (int i = 0; i < 3; i++)
		before[i].length = read_whole(kFiles[i], before[i].bytes, sizeof(before[i].bytes));
	SCENARIO_REQUIRE(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0, "errno %d", errno);
	memcpy(random_bytes, (void *)getauxval(AT_RANDOM), sizeof(random_bytes));
	named = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(named != MAP_FAILED, "errno %d", errno);
	named[0] = named[SIZE - 1] = 1;
	has_names = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, SIZE / 2, "a name") == 0 &&
		    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named + SIZE / 2, SIZE / 2, "another") == 0;
	return scenario_main(check);
}
