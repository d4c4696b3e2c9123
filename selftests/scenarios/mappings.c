// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/mappings.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

struct mapping {
	unsigned long start, end, offset;
	char prot[8], name[256], flags[128];
};

static bool mergeable(const struct mapping *a, const struct mapping *b)
{
	bool follows = a->name[0] == '/' ? a->offset + (a->end - a->start) == b->offset : true;
	return a->end == b->start && follows && !strcmp(a->prot, b->prot) && !strcmp(a->name, b->name) &&
	       !strcmp(a->flags, b->flags);
}

static size_t print(char *out, size_t room, const struct mapping *m)
{
	int length = snprintf(out, room, "%lx-%lx %s %lx %s [%s]\n", m->start, m->end, m->prot, m->offset, m->name,
			      m->flags);
	SCENARIO_REQUIRE(length > 0 && (size_t)length < room, "too many mappings");
	return (size_t)length;
}

const char *mappings_text(const void *from, const void *to)
{
	static char text[1 << 16];
	struct mapping last = {0}, now = {0};
	size_t used = 0;
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "re");

	SCENARIO_REQUIRE(smaps, "%m");
	while (fgets(line, sizeof(line), smaps)) {
		struct mapping m = {0};
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255[^\n]", &m.start, &m.end, m.prot, &m.offset, m.name) >=
		    4) {
			now = m;
			continue;
		}
		if (strncmp(line, "VmFlags: ", 9) != 0)
			continue;
		SCENARIO_REQUIRE(sscanf(line, "VmFlags: %127[^\n]", now.flags) == 1, "%s", line);
		if (now.end <= (uintptr_t)from || now.start >= (uintptr_t)to)
			continue;
		if (last.end && mergeable(&last, &now)) {
			last.end = now.end;
			continue;
		}
		if (last.end)
			used += print(text + used, sizeof(text) - used, &last);
		last = now;
	}
	if (last.end)
		print(text + used, sizeof(text) - used, &last);
	else
		text[0] = 0;
	fclose(smaps);
	return text;
}

size_t populated_pages(const void *address, size_t size)
{
	size_t populated = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	SCENARIO_REQUIRE(fd >= 0, "%m");
	for (size_t at = 0; at < size; at += PAGE) {
		uint64_t entry = 0;
		off_t offset = (off_t)(((uintptr_t)address + at) / PAGE * sizeof(entry));
		SCENARIO_REQUIRE(pread(fd, &entry, sizeof(entry), offset) == sizeof(entry), "%m");
		populated += (entry >> 62) != 0;
	}
	close(fd);
	return populated;
}
