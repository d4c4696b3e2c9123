// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a path names, or named: a file with position and O_APPEND, a deleted one, a directory half read, O_PATH,
// /dev/null, and a memfd with seals.
#include "selftests/scenarios/scenario.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int regular, append, deleted, directory, path, null, memory;

static void check(int round)
{
	char text[8] = "";
	struct stat status;

	SCENARIO_CHECK(lseek(regular, 0, SEEK_CUR) == 3, "round %d: position %lld", round,
		       (long long)lseek(regular, 0, SEEK_CUR));
	SCENARIO_CHECK(fcntl(append, F_GETFL) & O_APPEND, "flags %x", fcntl(append, F_GETFL));
	SCENARIO_CHECK(fstat(deleted, &status) == 0 && status.st_nlink == 0, "round %d: %d links", round,
		       (int)status.st_nlink);
	SCENARIO_CHECK(pread(deleted, text, 7, 0) == 7 && !strcmp(text, "deleted"), "round %d: '%s'", round, text);
	SCENARIO_CHECK(fcntl(path, F_GETFL) & O_PATH, "flags %x", fcntl(path, F_GETFL));
	SCENARIO_CHECK(write(null, "x", 1) == 1, "errno %d", errno);
	SCENARIO_CHECK(fcntl(memory, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK), "seals %x",
		       fcntl(memory, F_GET_SEALS));
	SCENARIO_CHECK(pread(memory, text, 6, 4096) == 6 && !memcmp(text, "memory", 6), "round %d", round);
}

int main(void)
{
	scenario_init();
	regular = open("regular", O_CREAT | O_RDWR, 0600);
	append = open("regular", O_WRONLY | O_APPEND);
	deleted = open("deleted", O_CREAT | O_RDWR, 0600);
	directory = open(".", O_RDONLY | O_DIRECTORY);
	path = open("regular", O_PATH);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	memory = memfd_create("a name", MFD_ALLOW_SEALING);
	SCENARIO_REQUIRE(regular >= 0 && append >= 0 && deleted >= 0 && directory >= 0 && path >= 0 && null >= 0 &&
				 memory >= 0,
			 "errno %d", errno);
	SCENARIO_REQUIRE(write(regular, "abcdef", 6) == 6 && lseek(regular, 3, SEEK_SET) == 3, "errno %d", errno);
	SCENARIO_REQUIRE(write(deleted, "deleted", 7) == 7 && unlink("deleted") == 0, "errno %d", errno);
	SCENARIO_REQUIRE(ftruncate(memory, 8192) == 0 && pwrite(memory, "memory", 6, 4096) == 6, "errno %d", errno);
	SCENARIO_REQUIRE(fcntl(memory, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0, "errno %d", errno);
	scenario_tell("regular", "%d", regular);
	scenario_tell("append", "%d", append);
	scenario_tell("deleted", "%d", deleted);
	scenario_tell("directory", "%d", directory);
	scenario_tell("path", "%d", path);
	scenario_tell("null", "%d", null);
	scenario_tell("memory", "%d", memory);
	return scenario_main(check);
}
