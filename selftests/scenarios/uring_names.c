// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A chain of requests that the kernel has taken copies for: path names, extended attributes, an epoll event. They have
// not begun, and what the program had passed is gone. Others come behind a drain. Argument: flags of the ring.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define VALUE_BYTES 1000
#define LONG_PATH   3000 /* with its NUL */
#define DATA        0x1122334455667788ULL

enum {
	POLL = 1,
	MKDIR,
	SYMLINK,
	LINK,
	RENAME,
	STATX,
	STATX_OPEN, /* of what is open, with an empty path */
	STATX_LONG,
	SETXATTR,
	GETXATTR,
	FSETXATTR,
	FGETXATTR,
	WATCH,
	CHAIN_END,
	DRAINED_POLL,
	UNLINK,
	RMDIR,
	UNWATCH,
};

static struct io_uring ring, drained;
static int start[2], start_drained[2], watched[2], epoll, directory, file;
static struct statx stats[3];
static char got[2][VALUE_BYTES], long_path[LONG_PATH];
static bool has_attributes;

/* What is passed lives until it is submitted. */
static char *passed[32];
static int passed_count;

static void *pass(const void *data, size_t size)
{
	char *copy = malloc(size);

	SCENARIO_REQUIRE(copy && passed_count < 32, "memory");
	memcpy(copy, data, size);
	passed[passed_count++] = copy;
	return copy;
}

static const char *name(const char *text)
{
	return pass(text, strlen(text) + 1);
}

static void take_back(void)
{
	while (passed_count) {
		char *copy = passed[--passed_count];

		memset(copy, 0xff, 1); /* it had at least this */
		free(copy);
	}
}

static char value_at(int i)
{
	return (char)(i % 251 + 1);
}

static const char *value(void)
{
	char bytes[VALUE_BYTES];

	for (int i = 0; i < VALUE_BYTES; i++)
		bytes[i] = value_at(i);
	return pass(bytes, sizeof(bytes));
}

static struct io_uring_sqe *next(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	sqe->user_data = (unsigned long long)what;
	return sqe;
}

static void set(struct io_uring_sqe *sqe, int what)
{
	sqe->user_data = (unsigned long long)what;
	sqe->flags |= IOSQE_IO_HARDLINK;
}

static void prepare_files(void)
{
	struct io_uring_sqe *sqe = next(MKDIR);

	io_uring_prep_mkdirat(sqe, directory, name("made"), 0770);
	set(sqe, MKDIR);
	io_uring_prep_symlinkat(sqe = next(SYMLINK), name("to/nowhere"), directory, name("soft"));
	set(sqe, SYMLINK);
	io_uring_prep_linkat(sqe = next(LINK), directory, name("file"), AT_FDCWD, name("base/hard"), 0);
	set(sqe, LINK);
	io_uring_prep_renameat(sqe = next(RENAME), AT_FDCWD, name("base/hard"), directory, name("renamed"),
			       1 /* RENAME_NOREPLACE */);
	set(sqe, RENAME);
	io_uring_prep_statx(sqe = next(STATX), directory, name("renamed"), 0, STATX_NLINK, &stats[0]);
	set(sqe, STATX);
	io_uring_prep_statx(sqe = next(STATX_OPEN), file, name(""), AT_EMPTY_PATH, STATX_NLINK, &stats[1]);
	set(sqe, STATX_OPEN);
	io_uring_prep_statx(sqe = next(STATX_LONG), AT_FDCWD, name(long_path), 0, STATX_NLINK, &stats[2]);
	set(sqe, STATX_LONG);
}

static void prepare_attributes(void)
{
	struct io_uring_sqe *sqe;

	io_uring_prep_setxattr(sqe = next(SETXATTR), name("user.path"), value(), name("base/file"), 0, VALUE_BYTES);
	set(sqe, SETXATTR);
	io_uring_prep_getxattr(sqe = next(GETXATTR), name("user.path"), got[0], name("base/file"), VALUE_BYTES);
	set(sqe, GETXATTR);
	io_uring_prep_fsetxattr(sqe = next(FSETXATTR), file, name("user.open"), pass("short", 5), XATTR_CREATE, 5);
	set(sqe, FSETXATTR);
	io_uring_prep_fgetxattr(sqe = next(FGETXATTR), file, name("user.open"), got[1], VALUE_BYTES);
	set(sqe, FGETXATTR);
}

static void arm_chain(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA};
	struct io_uring_sqe *sqe = next(POLL);

	io_uring_prep_poll_add(sqe, start[0], POLLIN);
	set(sqe, POLL);
	prepare_files();
	prepare_attributes();
	io_uring_prep_epoll_ctl(sqe = next(WATCH), epoll, watched[0], EPOLL_CTL_ADD, pass(&event, sizeof(event)));
	sqe->user_data = WATCH;
	ring_submit(&ring, CHAIN_END - POLL);
	take_back();
}

static void arm_drained(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&drained);

	io_uring_prep_poll_add(sqe, start_drained[0], POLLIN);
	sqe->user_data = DRAINED_POLL;
	io_uring_prep_unlinkat(sqe = ring_sqe(&drained), directory, name("soft"), 0);
	set(sqe, UNLINK);
	sqe->flags |= IOSQE_IO_DRAIN;
	io_uring_prep_unlinkat(sqe = ring_sqe(&drained), AT_FDCWD, name("base/made"), AT_REMOVEDIR);
	set(sqe, RMDIR);
	io_uring_prep_epoll_ctl(sqe = ring_sqe(&drained), epoll, watched[0], EPOLL_CTL_DEL, NULL);
	sqe->user_data = UNWATCH;
	ring_submit(&drained, 4);
	take_back();
}

static void check_files(void)
{
	struct stat status;
	char target[16] = "";

	SCENARIO_CHECK(!fstatat(directory, "made", &status, 0) && S_ISDIR(status.st_mode) &&
			       (status.st_mode & 07777) == 0750,
		       "%m, mode %o", status.st_mode);
	SCENARIO_CHECK(readlinkat(directory, "soft", target, sizeof(target)) == 10 && !memcmp(target, "to/nowhere", 10),
		       "it leads to %s", target);
	SCENARIO_CHECK(faccessat(directory, "hard", F_OK, 0) == -1 && !unlinkat(directory, "renamed", 0), "%m");
	for (int i = 0; i < 3; i++)
		SCENARIO_CHECK(stats[i].stx_nlink == 2, "%d: %u links", i, stats[i].stx_nlink);
	memset(stats, 0, sizeof(stats));
}

static void check_attributes(void)
{
	if (!has_attributes)
		return;
	for (int i = 0; i < VALUE_BYTES; i++)
		if (got[0][i] != value_at(i)) {
			SCENARIO_CHECK(false, "byte %d is %d", i, got[0][i]);
			break;
		}
	SCENARIO_CHECK(!memcmp(got[1], "short", 5), "another value");
	SCENARIO_CHECK(!fremovexattr(file, "user.path") && !fremovexattr(file, "user.open"), "%m");
	memset(got, 0, sizeof(got));
}

static void check_watch(void)
{
	struct epoll_event event = {0};

	SCENARIO_CHECK(epoll_wait(epoll, &event, 1, 0) == 0, "an event");
	put(watched[1], "x");
	SCENARIO_CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == DATA, "%llx",
		       (unsigned long long)event.data.u64);
	SCENARIO_CHECK(epoll_wait(epoll, &event, 1, 0) == 0, "an edge twice");
	take(watched[0]);
}

static void check_drained(void)
{
	put(start_drained[1], "x");
	SCENARIO_CHECK(ring_expect(&drained, DRAINED_POLL, "poll") == POLLIN, "poll");
	for (int what = UNLINK; what <= UNWATCH; what++)
		ring_expect_result(&drained, what, 0);
	SCENARIO_CHECK(faccessat(directory, "soft", F_OK, AT_SYMLINK_NOFOLLOW) && faccessat(directory, "made", F_OK, 0),
		       "a name is left");
	SCENARIO_CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, watched[0], NULL) && errno == ENOENT, "%m");
	take(start_drained[0]);
}

static void check(int round)
{
	int sizes[] = {0, VALUE_BYTES, 0, 5};

	(void)round;
	ring_expect_nothing(&ring, "at rest");
	ring_expect_nothing(&drained, "at rest");
	SCENARIO_CHECK(faccessat(directory, "made", F_OK, 0), "it has begun");
	put(start[1], "x");
	ring_expect_result(&ring, POLL, POLLIN);
	for (int what = MKDIR; what < CHAIN_END; what++) {
		bool attribute = what >= SETXATTR && what <= FGETXATTR;

		ring_expect_result(&ring, what, attribute ? has_attributes ? sizes[what - SETXATTR] : -EOPNOTSUPP : 0);
	}
	check_files();
	check_attributes();
	check_watch();
	take(start[0]);
	check_drained();
	arm_chain();
	arm_drained();
}

static void set_up(void)
{
	strcpy(long_path, "base/");
	while (strlen(long_path) + strlen("./file") < LONG_PATH)
		strcat(long_path, "./");
	strcat(long_path, "file");
	umask(027);
	SCENARIO_REQUIRE(!mkdir("base", 0700), "%m");
	directory = open("base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file = openat(directory, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	SCENARIO_REQUIRE(directory >= 0 && file >= 0 && epoll >= 0, "%m");
	SCENARIO_REQUIRE(!pipe(start) && !pipe(start_drained) && !pipe(watched), "%m");
	has_attributes = !fsetxattr(file, "user.try", "x", 1, 0);
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};
	struct io_uring_params same = params;

	scenario_init();
	set_up();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &ring, &params), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &drained, &same), "%m");
	arm_chain();
	arm_drained();
	scenario_tell("ring", "%d", ring.ring_fd);
	scenario_tell("drained", "%d", drained.ring_fd);
	return scenario_main(check);
}
