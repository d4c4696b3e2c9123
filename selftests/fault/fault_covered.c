// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Has a file open in a directory of its own, "sub", which somebody else will cover by a mount.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;

static void check(int round)
{
	SCENARIO_CHECK(fcntl(file, F_GETFD) == 0, "round %d: %s", round, strerror(errno));
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(mkdir("sub", 0700) == 0, "%s", strerror(errno));
	file = open("sub/file", O_CREAT | O_RDWR, 0600);
	SCENARIO_REQUIRE(file >= 0, "%s", strerror(errno));
	return scenario_main(check);
}
