// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inotify below a root directory that is a file system of its own (argv[1]), with a name that means another directory
// outside. The working directory stays there.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static int inotify;

static void check(int round)
{
	union {
		struct inotify_event event;
		char room[sizeof(struct inotify_event) + 16]; /* one with a short name, and no second one */
	} buffer;

	SCENARIO_CHECK(read(inotify, &buffer, sizeof(buffer)) < 0 && errno == EAGAIN,
		       "round %d: an event of another directory", round);
	SCENARIO_CHECK(mkdir("/tmp/new", 0700) == 0, "round %d: %m", round);
	SCENARIO_CHECK(read(inotify, &buffer, sizeof(buffer)) > 0 && !strcmp(buffer.event.name, "new"), "round %d: %m",
		       round);
	rmdir("/tmp/new");
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(argc > 1 && chroot(argv[1]) == 0, "%m");
	inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	SCENARIO_REQUIRE(inotify_add_watch(inotify, "/tmp", IN_CREATE) >= 0, "%m");
	return scenario_main(check);
}
