// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Polls that are not told twice of one edge, that are changed while they wait (by a request of its own, and by one of a
// chain that has not begun), and a chain that hands out a file of a slot as a descriptor.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define OP_FIXED_FD_INSTALL 54 /* Linux 6.8 */

enum { EDGE = 1, CHANGED, CHANGED_ANEW, CHANGE, CHAIN, CHAIN_CHANGE, CHAIN_CHANGED, CHAIN_CHANGED_ANEW, INSTALL, LAST };

static struct io_uring ring;
static int pipes[LAST][2], edge;
static bool can_install;

static void write_byte(int what)
{
	SCENARIO_REQUIRE(write(pipes[what][1], "x", 1) == 1, "%m");
}

static void read_byte(int what)
{
	char byte;

	SCENARIO_REQUIRE(read(pipes[what][0], &byte, 1) == 1, "%m");
}

static struct io_uring_sqe *poll_of(int what, int fd, unsigned events)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, fd, events);
	sqe->user_data = (unsigned long long)what;
	return sqe;
}

/* Of a poll that tells of nothing, one of POLLIN, under another number. */
static struct io_uring_sqe *change(int what, int to)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_update(sqe, (unsigned long long)what, (unsigned long long)to, POLLIN,
				  IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA);
	return sqe;
}

static void arm_edge(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_multishot(sqe, edge, POLLIN | EPOLLET);
	sqe->user_data = EDGE;
	ring_submit(&ring, 1);
}

static void arm_changed(void)
{
	poll_of(CHANGED, pipes[CHANGED][0], POLLPRI);
	ring_submit(&ring, 1);
}

static void arm_chain(void)
{
	struct io_uring_sqe *sqe;
	int count = 3;

	poll_of(CHAIN_CHANGED, pipes[CHAIN_CHANGED][0], POLLPRI);
	poll_of(CHAIN, pipes[CHAIN][0], POLLIN)->flags |= IOSQE_IO_LINK;
	sqe = change(CHAIN_CHANGED, CHAIN_CHANGED_ANEW);
	sqe->user_data = CHAIN_CHANGE;
	if (can_install) {
		sqe->flags |= IOSQE_IO_LINK;
		sqe = ring_sqe(&ring);
		io_uring_prep_rw(OP_FIXED_FD_INSTALL, sqe, 0, NULL, 0, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
		sqe->user_data = INSTALL;
		count++;
	}
	ring_submit(&ring, count);
}

/* What is there is told once, and again when more comes. */
static void check_edge(void)
{
	eventfd_t count;

	ring_expect_nothing(&ring, "an edge that was told");
	SCENARIO_REQUIRE(!eventfd_write(edge, 1), "%m");
	ring_expect_result(&ring, EDGE, POLLIN);
	SCENARIO_REQUIRE(!eventfd_write(edge, 1), "%m");
	ring_expect_result(&ring, EDGE, POLLIN);
	ring_expect_nothing(&ring, "two edges");
	SCENARIO_CHECK(!eventfd_read(edge, &count) && count >= 2, "%m");
	SCENARIO_REQUIRE(!eventfd_write(edge, 1), "%m");
	ring_expect_result(&ring, EDGE, POLLIN);
}

static void check_changed(void)
{
	write_byte(CHANGED);
	ring_expect_nothing(&ring, "it waits for POLLPRI");
	change(CHANGED, CHANGED_ANEW)->user_data = CHANGE;
	ring_submit(&ring, 1);
	/* The poll that is changed tells at once, by the way before or after. */
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe *cqe;

		SCENARIO_REQUIRE(!io_uring_wait_cqe(&ring, &cqe), "a change");
		SCENARIO_CHECK(cqe->res == (cqe->user_data == CHANGE ? 0 : POLLIN) &&
				       (cqe->user_data == CHANGE || cqe->user_data == CHANGED_ANEW),
			       "%llu: %d", (unsigned long long)cqe->user_data, cqe->res);
		io_uring_cqe_seen(&ring, cqe);
	}
	read_byte(CHANGED);
	arm_changed();
}

static void check_installed(void)
{
	int fd = ring_expect(&ring, INSTALL, "a descriptor");
	struct stat got, wanted;

	SCENARIO_CHECK(fd > 0 && !fstat(fd, &got) && !fstat(pipes[INSTALL][0], &wanted) && got.st_ino == wanted.st_ino,
		       "%d is not the file of the slot", fd);
	SCENARIO_CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC, "not closed at exec");
	close(fd);
}

static void check_chain(void)
{
	write_byte(CHAIN);
	ring_expect_result(&ring, CHAIN, POLLIN);
	ring_expect_result(&ring, CHAIN_CHANGE, 0);
	if (can_install)
		check_installed();
	ring_expect_nothing(&ring, "the poll that was changed");
	write_byte(CHAIN_CHANGED);
	ring_expect_result(&ring, CHAIN_CHANGED_ANEW, POLLIN);
	read_byte(CHAIN);
	read_byte(CHAIN_CHANGED);
	arm_chain();
}

static void check(int round)
{
	(void)round;
	check_edge();
	check_changed();
	check_chain();
	ring_expect_nothing(&ring, "after the round");
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	can_install = ring_knows(&ring, OP_FIXED_FD_INSTALL);
	for (int i = 1; i < LAST; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, pipes[INSTALL], 1), "files");
	edge = eventfd(1, EFD_NONBLOCK);
	arm_edge();
	ring_expect_result(&ring, EDGE, POLLIN);
	arm_changed();
	arm_chain();
	return scenario_main(check);
}
