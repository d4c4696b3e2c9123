// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Mappings of files: private with some pages copied on write, shared (the file is the truth), read-only shared of a
// file opened for reading, private beyond the end of the file, and both kinds of a deleted file.
#include "selftests/scenarios/scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/mappings.h"

#define PAGES 16

static char *private_map, *shared_map, *readonly_map, *deleted_private, *deleted_shared;
static char before[5][512];

static int make_file(const char *name, unsigned seed)
{
	char page[PAGE];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	SCENARIO_REQUIRE(fd >= 0, "%s: %m", name);
	for (unsigned i = 0; i < PAGES; i++) {
		fill_page(page, seed + i);
		SCENARIO_REQUIRE(write(fd, page, PAGE) == (ssize_t)PAGE, "%m");
	}
	return fd;
}

static char *map_file(int fd, int prot, int flags)
{
	char *p = mmap(NULL, PAGES * PAGE, prot, flags, fd, 0);

	SCENARIO_REQUIRE(p != MAP_FAILED, "%m");
	return p;
}

static void check_pages(const char *what, const char *map, unsigned seed, unsigned changed, unsigned changed_seed)
{
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned expected = i == changed ? changed_seed : seed + i;
		SCENARIO_CHECK(page_is(map + i * PAGE, expected), "%s: page %u", what, i);
	}
}

static void check(int round)
{
	char *maps[] = {private_map, shared_map, readonly_map, deleted_private, deleted_shared};
	char page[PAGE];
	int fd;

	check_pages("private", private_map, 100, 3, 900);
	check_pages("shared", shared_map, 200, 4, 901 + (unsigned)(round - 1));
	check_pages("read-only", readonly_map, 200, 4, 901 + (unsigned)(round - 1));
	check_pages("deleted private", deleted_private, 300, 5, 902);
	check_pages("deleted shared", deleted_shared, 300, PAGES, 0);
	for (unsigned i = 0; i < 5; i++) {
		const char *now = mappings_text(maps[i], maps[i] + PAGES * PAGE);
		SCENARIO_CHECK(!strcmp(before[i], now), "mapping was\n%sand is\n%s", before[i], now);
	}

	// Writes still reach the file, and the file only.
	fill_page(shared_map + 4 * PAGE, 901 + (unsigned)round);
	fd = open("shared", O_RDONLY | O_CLOEXEC);
	SCENARIO_CHECK(pread(fd, page, PAGE, 4 * PAGE) == (ssize_t)PAGE, "%m");
	SCENARIO_CHECK(page_is(page, 901 + (unsigned)round), "a write to the mapping does not reach the file");
	close(fd);
	fd = open("private", O_RDONLY | O_CLOEXEC);
	SCENARIO_CHECK(pread(fd, page, PAGE, 3 * PAGE) == (ssize_t)PAGE, "%m");
	SCENARIO_CHECK(page_is(page, 103), "the private page reached the file");
	close(fd);
}

int main(void)
{
	int fd;

	scenario_init();
	fd = make_file("private", 100);
	private_map = map_file(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill_page(private_map + 3 * PAGE, 900);
	close(fd);

	fd = make_file("shared", 200);
	shared_map = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	fill_page(shared_map + 4 * PAGE, 901);
	fd = open("shared", O_RDONLY | O_CLOEXEC);
	readonly_map = map_file(fd, PROT_READ, MAP_SHARED);
	close(fd);

	fd = make_file("deleted", 300);
	unlink("deleted");
	deleted_private = map_file(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	deleted_shared = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	fill_page(deleted_private + 5 * PAGE, 902);

	char *maps[] = {private_map, shared_map, readonly_map, deleted_private, deleted_shared};
	for (unsigned i = 0; i < 5; i++)
		snprintf(before[i], sizeof(before[i]), "%s", mappings_text(maps[i], maps[i] + PAGES * PAGE));
	scenario_tell("private", "%lu", (unsigned long)private_map);
	scenario_tell("shared", "%lu", (unsigned long)shared_map);
	scenario_tell("deleted_private", "%lu", (unsigned long)deleted_private);
	scenario_tell("deleted_shared", "%lu", (unsigned long)deleted_shared);
	return scenario_main(check);
}
