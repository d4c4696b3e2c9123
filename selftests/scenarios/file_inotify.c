// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inotify: a directory and a file in it; wd 2 is gone, so that the numbers have a hole.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static int inotify, directory_wd, file_wd, once_wd, excluding_wd, unlinked;

static int next_wd(unsigned *mask)
{
	union {
		struct inotify_event event;
		char room[sizeof(struct inotify_event) + 16]; /* one with a short name, and no second one */
	} buffer;

	if (read(inotify, &buffer, sizeof(buffer)) < (ssize_t)sizeof(buffer.event))
		return -1;
	*mask = buffer.event.mask;
	return buffer.event.wd;
}

/* A watch of one event, and one that is not told of files without a name, which are options of the watch, not events.
 */
static void watch_with_options(void)
{
	once_wd = inotify_add_watch(inotify, "once", IN_CREATE | IN_ONESHOT);
	excluding_wd = inotify_add_watch(inotify, "excluding", IN_MODIFY | IN_EXCL_UNLINK);
	SCENARIO_REQUIRE(once_wd >= 0 && excluding_wd >= 0, "errno %d", errno);
	unlinked = open("excluding/file", O_CREAT | O_WRONLY, 0600);
	SCENARIO_REQUIRE(unlinked >= 0 && !unlink("excluding/file"), "errno %d", errno);
}

static void check_options(int round)
{
	unsigned mask = 0;

	SCENARIO_CHECK(write(unlinked, "x", 1) == 1, "errno %d", errno);
	SCENARIO_CHECK(next_wd(&mask) < 0, "round %d: mask %x of a file without a name", round, mask);
	SCENARIO_CHECK(!mkdir("once/new", 0700) && !rmdir("once/new") && !mkdir("once/new", 0700), "errno %d", errno);
	SCENARIO_CHECK(next_wd(&mask) == once_wd && mask == (IN_CREATE | IN_ISDIR), "round %d: mask %x", round, mask);
	SCENARIO_CHECK(next_wd(&mask) == once_wd && mask == IN_IGNORED, "round %d: mask %x", round, mask);
	SCENARIO_CHECK(next_wd(&mask) < 0, "round %d: mask %x, more than once", round, mask);
	rmdir("once/new");
	close(unlinked);
	inotify_rm_watch(inotify, excluding_wd);
	SCENARIO_CHECK(next_wd(&mask) == excluding_wd && mask == IN_IGNORED, "round %d: mask %x", round, mask);
	watch_with_options();
}

static void check(int round)
{
	unsigned mask = 0;
	int fd;

	SCENARIO_CHECK(next_wd(&mask) < 0 && errno == EAGAIN, "round %d: an event that nobody made", round);
	fd = open("watched/file", O_WRONLY);
	SCENARIO_CHECK(fd >= 0 && write(fd, "x", 1) == 1, "errno %d", errno);
	close(fd);
	SCENARIO_CHECK(next_wd(&mask) == file_wd && mask == IN_MODIFY, "round %d: mask %x", round, mask);
	SCENARIO_CHECK(mkdir("watched/new", 0700) == 0, "errno %d", errno);
	SCENARIO_CHECK(next_wd(&mask) == directory_wd && mask == (IN_CREATE | IN_ISDIR), "round %d: mask %x", round,
		       mask);
	rmdir("watched/new");
	check_options(round);
}

int main(void)
{
	int gone;

	scenario_init();
	SCENARIO_REQUIRE(mkdir("watched", 0700) == 0, "errno %d", errno);
	close(open("watched/file", O_CREAT | O_WRONLY, 0600));
	inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	directory_wd = inotify_add_watch(inotify, "watched", IN_CREATE);
	gone = inotify_add_watch(inotify, "/", IN_CREATE);
	file_wd = inotify_add_watch(inotify, "watched/file", IN_MODIFY);
	SCENARIO_REQUIRE(directory_wd >= 0 && gone >= 0 && file_wd >= 0, "errno %d", errno);
	SCENARIO_REQUIRE(inotify_rm_watch(inotify, gone) == 0, "errno %d", errno);
	unsigned mask = 0;
	SCENARIO_REQUIRE(next_wd(&mask) == gone && mask == IN_IGNORED, "mask %x", mask);
	SCENARIO_REQUIRE(!mkdir("once", 0700) && !mkdir("excluding", 0700), "errno %d", errno);
	watch_with_options();
	scenario_tell("inotify", "%d", inotify);
	scenario_tell("directory_wd", "%d", directory_wd);
	scenario_tell("file_wd", "%d", file_wd);
	return scenario_main(check);
}
