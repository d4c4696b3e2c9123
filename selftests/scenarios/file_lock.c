// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * File locks of two processes: POSIX ones (some shared, up to the end of the file, on a file that is deleted), OFD and
 * flock, also on a file that both have open, and a process that waits for one. A process that is made for it asks the
 * kernel who has what.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

static int posix, ofd, whole, deleted, turn;
static struct io_uring ring;
static pid_t child, waiter;
static atomic_int *told; /* how often the waiter had its lock */

static struct flock range(short type, off_t start, off_t length)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static void lock(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = range(type, start, length);

	SCENARIO_REQUIRE(!fcntl(fd, command, &lock), "lock of %ld: %m", (long)start);
}

/* Nobody who does not have it himself can write-lock it: the kernel names who has. */
static void expect(int fd, int command, short type, off_t start, off_t length, pid_t pid)
{
	struct flock lock = range(F_WRLCK, start, 1);

	SCENARIO_CHECK(!fcntl(fd, command, &lock), "%m");
	SCENARIO_CHECK(lock.l_type == type && lock.l_start == start && lock.l_len == length && lock.l_pid == pid,
		       "at %ld: type %d, from %ld, %ld bytes, of %d", (long)start, lock.l_type, (long)lock.l_start,
		       (long)lock.l_len, lock.l_pid);
}

static void expect_free(int fd, off_t start, off_t length)
{
	struct flock lock = range(F_WRLCK, start, length);

	SCENARIO_CHECK(!fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type == F_UNLCK, "at %ld: locked", (long)start);
}

static void expect_shared(int fd)
{
	SCENARIO_CHECK(flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK, "file of a ring: errno %d", errno);
	SCENARIO_CHECK(!flock(fd, LOCK_SH | LOCK_NB), "file of a ring: %m");
}

static void probe(pid_t parent)
{
	int again = open("posix", O_RDWR | O_CLOEXEC), other = open("ofd", O_RDWR | O_CLOEXEC);
	int third = open("whole", O_RDONLY | O_CLOEXEC);

	expect(again, F_GETLK, F_WRLCK, 10, 5, parent);
	expect(again, F_GETLK, F_RDLCK, 100, 20, parent);
	expect(again, F_GETLK, F_RDLCK, 120, 10, child);
	expect(again, F_GETLK, F_WRLCK, 1000, 0, child);
	expect_free(again, 0, 10);
	expect_free(again, 15, 85);
	expect_free(again, 130, 870);
	expect(deleted, F_GETLK, F_WRLCK, 1, 1, parent);
	expect(other, F_OFD_GETLK, F_WRLCK, 0, 7, -1);
	expect(other, F_OFD_GETLK, F_RDLCK, 7, 3, -1);
	expect_free(other, 10, 1000);
	SCENARIO_CHECK(flock(third, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK, "flock: errno %d", errno);
	if (ring.ring_fd)
		expect_shared(open("registered", O_RDONLY | O_CLOEXEC));
	SCENARIO_CHECK(!flock(whole, LOCK_EX | LOCK_NB), "flock of who has it: %m");
}

static void check(int round)
{
	pid_t self = getpid(), prober = fork();
	int status = -1, before = atomic_load(told);

	if (!prober) {
		probe(self);
		_exit(0);
	}
	SCENARIO_CHECK(waitpid(prober, &status, 0) == prober && status == 0, "round %d: status %x", round, status);
	/* The waiter gets its lock when it is given up, and not before. */
	SCENARIO_CHECK(before == round - 1, "round %d: the waiter had its lock %d times", round, before);
	lock(turn, F_SETLK, F_UNLCK, 0, 1);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(told) == round, 30), "round %d: it waits still", round);
	/* Its next lock is on byte 1, until we have byte 0 again. */
	lock(turn, F_SETLKW, F_WRLCK, 0, 1);
	atomic_fetch_add(told + 1, 1);
}

static void wait_for_turns(void)
{
	for (int turns = 1;; turns++) {
		lock(turn, F_SETLKW, F_WRLCK, 0, 1);
		atomic_fetch_add(told, 1);
		lock(turn, F_SETLK, F_UNLCK, 0, 1);
		while (atomic_load(told + 1) < turns)
			poll(NULL, 0, 1);
	}
}

/* Nothing but a fixed slot has the file. */
static void lock_in_ring(void)
{
	int fd = open("registered", O_CREAT | O_RDONLY, 0600);

	SCENARIO_REQUIRE(fd >= 0 && !flock(fd, LOCK_SH), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(4, &ring, 0) && !io_uring_register_files(&ring, &fd, 1), "no ring");
	close(fd);
}

/* argv[1], "ring": a ring has a locked file, too. */
int main(int argc, char **argv)
{
	(void)argv;
	scenario_init();
	told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	posix = open("posix", O_CREAT | O_RDWR, 0600);
	ofd = open("ofd", O_CREAT | O_RDWR, 0600);
	whole = open("whole", O_CREAT | O_RDONLY, 0600);
	deleted = open("deleted", O_CREAT | O_RDWR, 0600);
	turn = open("turn", O_CREAT | O_RDWR, 0600);
	SCENARIO_REQUIRE(told != MAP_FAILED && posix >= 0 && ofd >= 0 && whole >= 0 && deleted >= 0 && turn >= 0, "%m");
	unlink("deleted");
	lock(posix, F_SETLK, F_WRLCK, 10, 5);
	lock(posix, F_SETLK, F_RDLCK, 100, 20);
	lock(deleted, F_SETLK, F_WRLCK, 1, 1);
	lock(ofd, F_OFD_SETLK, F_WRLCK, 0, 7);
	lock(ofd, F_OFD_SETLK, F_RDLCK, 7, 3);
	lock(turn, F_SETLK, F_WRLCK, 0, 1);
	SCENARIO_REQUIRE(!flock(whole, LOCK_EX), "%m");
	if (argc > 1)
		lock_in_ring();
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lock(posix, F_SETLK, F_RDLCK, 120, 10);
		lock(posix, F_SETLK, F_WRLCK, 1000, 0);
		atomic_fetch_add(told + 2, 1);
		for (;;)
			pause();
	}
	waiter = fork();
	if (!waiter) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		wait_for_turns();
	}
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(atomic_load(told + 2) == 1, 30), "no locks of the child");
	return scenario_main(check);
}
