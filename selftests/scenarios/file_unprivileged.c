// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inodes without a name that a user made: a pipe and a memfd, which it can open again and change, and whose owner, mode
// and time stay; and files of /proc that it has opened, and that tell it no more than before.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER 1000

static int ends[2], memory, given, symbols, own, init;
static char seen[16]; /* of /proc/kallsyms: zeros for who may not see addresses */

static void check_opens(int fd, int flags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_NONBLOCK);
	SCENARIO_CHECK(again >= 0, "%s: errno %d", path, errno);
	close(again);
}

static void check_inode(int fd, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat status = {};

	SCENARIO_CHECK(fstat(fd, &status) == 0 && status.st_uid == uid && status.st_gid == gid &&
			       (status.st_mode & 07777) == mode,
		       "fd %d: owner %u %u, mode %o", fd, status.st_uid, status.st_gid, status.st_mode);
}

/* What they tell depends on who has opened them. */
static void check_proc(void)
{
	char bytes[sizeof(seen)], status[4096] = "";

	SCENARIO_CHECK(pread(symbols, bytes, sizeof(bytes), 0) == sizeof(bytes) && !memcmp(bytes, seen, sizeof(seen)),
		       "kallsyms begins with %.16s instead of %.16s", bytes, seen);
	SCENARIO_CHECK(pread(own, status, sizeof(status) - 1, 0) > 0 && strstr(status, "Uid:\t1000\t"), "status: %s",
		       status);
	SCENARIO_CHECK(pread(init, status, sizeof(status) - 1, 0) > 0 && strstr(status, "Pid:\t1\n"), "init: %s",
		       status);
	SCENARIO_CHECK(lseek(own, 0, SEEK_CUR) == 5, "position %ld", (long)lseek(own, 0, SEEK_CUR));
}

static void check(int round)
{
	struct stat status = {};

	check_proc();
	check_inode(ends[0], USER, USER, 0640);
	check_inode(ends[1], USER, USER, 0640);
	check_inode(memory, USER, USER, 0600);
	check_inode(given, 33, 34, 0777);
	check_opens(ends[1], O_WRONLY);
	check_opens(memory, O_RDWR);
	SCENARIO_CHECK(fchmod(memory, 0600) == 0, "errno %d", errno);
	SCENARIO_CHECK(fstat(given, &status) == 0 && status.st_mtim.tv_sec == 2000 && status.st_mtim.tv_nsec == 5,
		       "round %d: changed at %ld.%09ld", round, (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

int main(void)
{
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 5}};

	scenario_init();
	given = memfd_create("given", 0);
	SCENARIO_REQUIRE(given >= 0 && write(given, "x", 1) == 1 && fchown(given, 33, 34) == 0 &&
				 futimens(given, times) == 0,
			 "errno %d", errno);
	SCENARIO_REQUIRE(chown(".", USER, USER) == 0 && setgroups(0, NULL) == 0 && setresgid(USER, USER, USER) == 0 &&
				 setresuid(USER, USER, USER) == 0,
			 "errno %d", errno);
	memory = memfd_create("own", 0);
	SCENARIO_REQUIRE(memory >= 0 && fchmod(memory, 0600) == 0, "errno %d", errno);
	SCENARIO_REQUIRE(pipe(ends) == 0 && fchmod(ends[0], 0640) == 0, "errno %d", errno);
	symbols = open("/proc/kallsyms", O_RDONLY);
	own = open("/proc/self/status", O_RDONLY);
	init = open("/proc/1/status", O_RDONLY);
	SCENARIO_REQUIRE(pread(symbols, seen, sizeof(seen), 0) == sizeof(seen) && read(own, seen, 5) == 5 &&
				 pread(symbols, seen, sizeof(seen), 0) == sizeof(seen),
			 "errno %d", errno);
	return scenario_main(check);
}
