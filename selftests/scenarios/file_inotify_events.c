// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inotify instances with unread events, which a restore cannot make again: "events"; with one that tells that others
// were lost, alone ("overflow") or before a real one ("more"). Before each round they are read or put there again.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int inotify, directory_wd, file_wd;
static const char *kind;

/* The next event; 0: there is none. */
static int next_wd(unsigned *mask)
{
	union {
		struct inotify_event event;
		char room[sizeof(struct inotify_event) + NAME_MAX + 1];
	} buffer;

	if (read(inotify, &buffer, sizeof(buffer.event)) >= (ssize_t)sizeof(buffer.event) ||
	    (errno == EINVAL && read(inotify, &buffer, sizeof(buffer.event) + 16) > 0)) {
		*mask = buffer.event.mask;
		return buffer.event.wd;
	}
	return 0;
}

static void expect(int round, int wd, unsigned mask)
{
	unsigned got_mask = 0;
	int got = next_wd(&got_mask);

	SCENARIO_CHECK(got == wd && got_mask == mask, "round %d: %d %x in place of %d %x", round, got, got_mask, wd,
		       mask);
}

static void make_events(void)
{
	int fd = open("watched/file", O_WRONLY);

	SCENARIO_CHECK(fd >= 0 && write(fd, "x", 1) == 1, "%m");
	close(fd);
	SCENARIO_CHECK(mkdir("watched/new", 0700) == 0, "%m");
	rmdir("watched/new");
}

static void expect_events(int round)
{
	expect(round, file_wd, IN_MODIFY);
	expect(round, directory_wd, IN_CREATE | IN_ISDIR);
	expect(round, 0, 0);
}

static int unread(void)
{
	int bytes = -1;

	SCENARIO_CHECK(!ioctl(inotify, FIONREAD, &bytes), "%m");
	return bytes;
}

/* Fills the queue with events of two kinds in turns, as equal ones become one, and reads all but the last. */
static void overflow(void)
{
	int fd = open("watched/file", O_WRONLY), before, bytes = 0;
	struct inotify_event *events;

	SCENARIO_REQUIRE(inotify_add_watch(inotify, "watched/file", IN_MODIFY | IN_ATTRIB) == file_wd, "%m");
	do {
		before = bytes;
		for (int i = 0; i < 1000; i++)
			SCENARIO_CHECK(!fchmod(fd, 0600) && pwrite(fd, "x", 1, 0) == 1, "%m");
		bytes = unread();
	} while (bytes > before);
	SCENARIO_REQUIRE(inotify_add_watch(inotify, "watched/file", IN_MODIFY) == file_wd, "%m");
	events = malloc((size_t)bytes);
	SCENARIO_REQUIRE(read(inotify, events, (size_t)bytes - sizeof(*events)) == bytes - (ssize_t)sizeof(*events),
			 "%m");
	free(events);
	close(fd);
	SCENARIO_CHECK(unread() == (int)sizeof(*events), "%d", unread());
}

static void set_up_round(void)
{
	if (!strcmp(kind, "events"))
		make_events();
	else
		overflow();
	if (!strcmp(kind, "more"))
		make_events();
}

/* Another process by the same number begins at another time: field 22 (proc(5)). */
static unsigned long long start_time(void)
{
	static const char format[] =
		"%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
	unsigned long long start = 0;
	FILE *stat = fopen("/proc/self/stat", "r");

	SCENARIO_REQUIRE(stat && fscanf(stat, format, &start) == 1, "%m");
	fclose(stat);
	return start;
}

static unsigned long long last_start;

static void check(int round)
{
	bool restored = start_time() != last_start;
	unsigned mask = 0;
	int another;

	last_start = start_time();
	if (restored || strcmp(kind, "events"))
		expect(round, -1, IN_Q_OVERFLOW);
	if (!restored && strcmp(kind, "overflow"))
		expect_events(round);
	expect(round, 0, 0);
	make_events();
	expect_events(round);
	another = inotify_add_watch(inotify, "/", IN_CREATE);
	SCENARIO_CHECK(another == file_wd + round, "round %d: watch %d", round, another);
	SCENARIO_CHECK(!inotify_rm_watch(inotify, another), "%m");
	SCENARIO_CHECK(next_wd(&mask) == another && mask == IN_IGNORED, "round %d: mask %x", round, mask);
	set_up_round();
}

int main(int argc, char **argv)
{
	scenario_init();
	kind = argc > 1 ? argv[1] : "events";
	last_start = start_time();
	SCENARIO_REQUIRE(mkdir("watched", 0700) == 0, "%m");
	close(open("watched/file", O_CREAT | O_WRONLY, 0600));
	inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	directory_wd = inotify_add_watch(inotify, "watched", IN_CREATE);
	file_wd = inotify_add_watch(inotify, "watched/file", IN_MODIFY);
	SCENARIO_REQUIRE(directory_wd == 1 && file_wd == 2, "%m");
	set_up_round();
	scenario_tell("inotify", "%d", inotify);
	return scenario_main(check);
}
