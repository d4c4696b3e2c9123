// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// File locks: the argument names the kind, posix, ofd or flock.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int file;

static void check(int round)
{
	SCENARIO_CHECK(fcntl(file, F_GETFD) == 0, "round %d: errno %d", round, errno);
}

int main(int argc, char **argv)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
	const char *kind = argc > 1 ? argv[1] : "posix";

	scenario_init();
	file = open("locked", O_CREAT | O_RDWR, 0600);
	SCENARIO_REQUIRE(file >= 0, "errno %d", errno);
	if (!strcmp(kind, "flock"))
		SCENARIO_REQUIRE(flock(file, LOCK_EX) == 0, "errno %d", errno);
	else
		SCENARIO_REQUIRE(fcntl(file, strcmp(kind, "ofd") ? F_SETLK : F_OFD_SETLK, &lock) == 0, "errno %d",
				 errno);
	scenario_tell("file", "%d", file);
	return scenario_main(check);
}
