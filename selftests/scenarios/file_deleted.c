// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What was deleted while it is open: a file with owner, mode, time and attributes; one under two names; one whose name
// belongs to another file now; one that still has another name; two of O_TMPFILE, of which one can be given a name; one
// in a directory that is gone; a directory that is a child's working directory too; a FIFO with data; a device; a
// symbolic link.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ATTRIBUTE "trusted.scenario"

static int plain, twice[2], replaced, linked, temporary, exclusive, nested, directory, fifo, device, link_fd, home;
static int memory, temporary_flags, inode_flags;
static pid_t child;
static struct stat linked_status;

static void check_text(int round, int fd, const char *what)
{
	char text[32] = "";
	struct stat status;

	SCENARIO_CHECK(pread(fd, text, sizeof(text) - 1, 0) == (ssize_t)strlen(what) && !strcmp(text, what),
		       "round %d: '%s', not '%s'", round, text, what);
	SCENARIO_CHECK(fstat(fd, &status) == 0 && status.st_nlink == 0, "round %d: %s has %d links", round, what,
		       (int)status.st_nlink);
}

static void check_inodes(int round)
{
	struct stat status, other;

	SCENARIO_CHECK(fstat(plain, &status) == 0 && status.st_uid == 1234 && status.st_gid == 5678 &&
			       status.st_mtim.tv_sec == 1000000007 && status.st_mtim.tv_nsec == 123000000 &&
			       (status.st_mode & 07777) == 04751,
		       "round %d: %d %d %o %ld.%09ld", round, (int)status.st_uid, (int)status.st_gid, status.st_mode,
		       (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
	SCENARIO_CHECK(fstat(twice[0], &status) == 0 && fstat(twice[1], &other) == 0 && status.st_ino == other.st_ino,
		       "round %d: two files", round);
	SCENARIO_CHECK(fstat(linked, &status) == 0 && status.st_ino == linked_status.st_ino &&
			       status.st_dev == linked_status.st_dev && status.st_nlink == 1,
		       "round %d: inode %lu, was %lu; %d links", round, (unsigned long)status.st_ino,
		       (unsigned long)linked_status.st_ino, (int)status.st_nlink);
	SCENARIO_CHECK(fcntl(temporary, F_GETFL) == temporary_flags, "flags %o, were %o", fcntl(temporary, F_GETFL),
		       temporary_flags);
	SCENARIO_CHECK(fstat(device, &status) == 0 && status.st_rdev == makedev(1, 3) && S_ISCHR(status.st_mode) &&
			       status.st_nlink == 0,
		       "round %d: mode %o", round, status.st_mode);
}

static int flags_of(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) ? -errno : flags;
}

static void check_attributes(int round)
{
	const int files[] = {plain, directory, temporary, memory};
	char value[8] = "";
	uint64_t hint = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		SCENARIO_CHECK(fgetxattr(files[i], ATTRIBUTE, value, sizeof(value)) == 3 && !memcmp(value, "a\0b", 3),
			       "round %d: file %zu: errno %d", round, i, errno);
	SCENARIO_CHECK(fcntl(plain, F_GET_RW_HINT, &hint) == 0 && hint == RWH_WRITE_LIFE_LONG, "round %d: hint %d",
		       round, (int)hint);
	SCENARIO_CHECK(flags_of(plain) == inode_flags, "round %d: flags %x, were %x", round, flags_of(plain),
		       inode_flags);
}

static int link_temporary(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, home, "named", AT_SYMLINK_FOLLOW);
}

static void make_temporary(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	SCENARIO_REQUIRE(fd >= 0 && write(fd, "temporary", 9) == 9 && fsetxattr(fd, ATTRIBUTE, "a\0b", 3, 0) == 0,
			 "errno %d", errno);
	if (!temporary)
		temporary = fd;
	else
		SCENARIO_REQUIRE(dup2(fd, temporary) == temporary && close(fd) == 0, "errno %d", errno);
}

/* What had a name once cannot be given one again: the next round has another. */
static void check_linkable(int round)
{
	SCENARIO_CHECK(link_temporary(exclusive) < 0 && errno == ENOENT, "round %d: errno %d", round, errno);
	SCENARIO_CHECK(link_temporary(temporary) == 0, "round %d: errno %d", round, errno);
	SCENARIO_CHECK(unlinkat(home, "named", 0) == 0, "round %d: errno %d", round, errno);
	make_temporary();
}

static void check_directory(int round)
{
	struct stat status, there;
	char cwd[32];

	snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", child);
	SCENARIO_CHECK(fstat(directory, &status) == 0 && stat(cwd, &there) == 0 && status.st_ino == there.st_ino,
		       "round %d: not the working directory", round);
	SCENARIO_CHECK(status.st_nlink == 0 && (status.st_mode & 07777) == 0711, "round %d: %d links, mode %o", round,
		       (int)status.st_nlink, status.st_mode);
	SCENARIO_CHECK(openat(directory, "x", O_CREAT | O_WRONLY, 0600) < 0 && errno == ENOENT, "errno %d", errno);
}

static void check_names(int round)
{
	char text[64] = "";
	ssize_t length = readlinkat(link_fd, "", text, sizeof(text) - 1);
	static const char *const gone[] = {"plain", "first", "second", "linked", "above",
					   "dir",   "fifo",  "null",   "link"};

	SCENARIO_CHECK(length == 7 && !strcmp(text, "nowhere"), "round %d: '%s'", round, text);
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		SCENARIO_CHECK(faccessat(home, gone[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT,
			       "round %d: %s is there", round, gone[i]);
	SCENARIO_CHECK(faccessat(home, "replaced", F_OK, 0) == 0, "round %d: the new file is gone", round);
}

static void check(int round)
{
	char data[8] = "";

	check_directory(round);
	check_text(round, plain, "plain");
	check_text(round, twice[1], "twice");
	check_text(round, replaced, "old");
	check_text(round, temporary, "temporary");
	check_text(round, nested, "nested");
	check_inodes(round);
	check_names(round);
	check_attributes(round);
	check_linkable(round);
	SCENARIO_CHECK(read(fifo, data, sizeof(data)) == 4 && !memcmp(data, "data", 4), "round %d: '%s'", round, data);
	SCENARIO_CHECK(write(fifo, "data", 4) == 4, "errno %d", errno);
}

static int make(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_RDWR, 0600);

	SCENARIO_REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: errno %d", path,
			 errno);
	return fd;
}

static void make_files(void)
{
	struct timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000007, .tv_nsec = 123000000}};

	plain = make("plain", "plain");
	SCENARIO_REQUIRE(fchown(plain, 1234, 5678) == 0 && fchmod(plain, 04751) == 0 && futimens(plain, times) == 0,
			 "errno %d", errno);
	twice[0] = make("first", "twice");
	SCENARIO_REQUIRE(link("first", "second") == 0, "errno %d", errno);
	twice[1] = open("second", O_RDONLY);
	replaced = make("replaced", "old");
	linked = make("linked", "linked");
	SCENARIO_REQUIRE(link("linked", "other name") == 0, "errno %d", errno);
	make_temporary();
	exclusive = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600);
	SCENARIO_REQUIRE(exclusive >= 0, "errno %d", errno);
	temporary_flags = fcntl(temporary, F_GETFL);
	SCENARIO_REQUIRE(mkdir("above", 0700) == 0 && mkdir("above/below", 0700) == 0, "errno %d", errno);
	nested = make("above/below/nested", "nested");
	SCENARIO_REQUIRE(!unlink("plain") && !unlink("first") && !unlink("second") && !unlink("replaced") &&
				 !unlink("linked") && !unlink("above/below/nested") && !rmdir("above/below") &&
				 !rmdir("above"),
			 "errno %d", errno);
	close(make("replaced", "new"));
	SCENARIO_REQUIRE(fstat(linked, &linked_status) == 0, "errno %d", errno);
}

static void start_child(void)
{
	int there[2];
	char byte;

	SCENARIO_REQUIRE(pipe(there) == 0, "errno %d", errno);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir("dir") == 0 && write(there[1], "x", 1) == 1)
			while (pause() < 0)
				;
		_exit(1);
	}
	close(there[1]);
	SCENARIO_REQUIRE(child > 0 && read(there[0], &byte, 1) == 1, "errno %d", errno);
	close(there[0]);
}

static void make_others(void)
{
	SCENARIO_REQUIRE(mkdir("dir", 0700) == 0 && chmod("dir", 0711) == 0, "errno %d", errno);
	directory = open("dir", O_RDONLY | O_DIRECTORY);
	start_child();
	SCENARIO_REQUIRE(mkfifo("fifo", 0640) == 0, "errno %d", errno);
	fifo = open("fifo", O_RDWR);
	SCENARIO_REQUIRE(fifo >= 0 && write(fifo, "data", 4) == 4, "errno %d", errno);
	SCENARIO_REQUIRE(mknod("null", S_IFCHR | 0600, makedev(1, 3)) == 0, "errno %d", errno);
	device = open("null", O_RDWR);
	SCENARIO_REQUIRE(symlink("nowhere", "link") == 0, "errno %d", errno);
	link_fd = open("link", O_PATH | O_NOFOLLOW);
	SCENARIO_REQUIRE(directory >= 0 && device >= 0 && link_fd >= 0, "errno %d", errno);
	SCENARIO_REQUIRE(!rmdir("dir") && !unlink("fifo") && !unlink("null") && !unlink("link"), "errno %d", errno);
}

static void set_attributes(void)
{
	uint64_t hint = RWH_WRITE_LIFE_LONG;

	memory = memfd_create("memory", 0);
	SCENARIO_REQUIRE(memory >= 0 && fsetxattr(memory, ATTRIBUTE, "a\0b", 3, 0) == 0, "errno %d", errno);
	SCENARIO_REQUIRE(fsetxattr(plain, ATTRIBUTE, "a\0b", 3, 0) == 0 &&
				 fsetxattr(directory, ATTRIBUTE, "a\0b", 3, 0) == 0 &&
				 fcntl(plain, F_SET_RW_HINT, &hint) == 0,
			 "errno %d", errno);
	inode_flags = flags_of(plain);
	if (inode_flags >= 0) {
		inode_flags |= FS_NOATIME_FL | FS_NODUMP_FL;
		SCENARIO_REQUIRE(ioctl(plain, FS_IOC_SETFLAGS, &inode_flags) == 0, "errno %d", errno);
	}
}

int main(void)
{
	scenario_init();
	home = open(".", O_RDONLY | O_DIRECTORY);
	make_files();
	make_others();
	set_attributes();
	scenario_tell("linked", "%d", linked);
	scenario_tell("link", "%d", link_fd);
	return scenario_main(check);
}
