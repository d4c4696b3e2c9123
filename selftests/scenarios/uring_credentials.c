// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Directories that are made when a read before them is done, in a ring of two processes with different credentials:
// each belongs to whom it was submitted for, whoever submits it.
#include <grp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define NOBODY 65534

enum { AS_ROOT, AS_NOBODY, AS_SUBMITTER, KINDS };

static struct io_uring ring;
static int pipes[2][KINDS][2], pair[2], personality[KINDS];
static char byte;

static const char *name_of(int child, int kind)
{
	static const char *const names[2][KINDS] = {{"parent-root", "parent-nobody", "parent"},
						    {"child-root", "child-nobody", "child"}};

	return names[child][kind];
}

/* Takes the program's copies of the counters from the ring: the other process has moved them. */
static void take_turn(void)
{
	ring.sq.sqe_head = ring.sq.sqe_tail = *ring.sq.ktail;
}

static void arm(int child)
{
	take_turn();
	for (int kind = 0; kind < KINDS; kind++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_read(sqe, pipes[child][kind][0], &byte, 1, 0);
		sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
		sqe = ring_sqe(&ring);
		io_uring_prep_mkdirat(sqe, AT_FDCWD, name_of(child, kind), 0700);
		sqe->personality = (unsigned short)personality[kind];
		sqe->user_data = (unsigned long long)(child * KINDS + kind);
		ring_submit(&ring, 2);
	}
}

static void pass_turn(void)
{
	char turn = 't';

	SCENARIO_REQUIRE(write(pair[0], &turn, 1) == 1 && read(pair[0], &turn, 1) == 1, "%m");
}

static void child(void)
{
	char turn;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	SCENARIO_REQUIRE(!setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY), "%m");
	SCENARIO_REQUIRE(!setresuid(NOBODY, NOBODY, NOBODY), "%m");
	turn = (char)io_uring_register_personality(&ring);
	while (write(pair[1], &turn, 1) == 1 && read(pair[1], &turn, 1) == 1) {
		personality[AS_NOBODY] = 2;
		arm(1);
	}
	_exit(0);
}

static void expect_made(int child, int kind)
{
	uid_t owner = kind == AS_NOBODY || (child && kind == AS_SUBMITTER) ? NOBODY : 0;
	const char *name = name_of(child, kind);
	struct stat made = {};

	put(pipes[child][kind][1], "x");
	ring_expect_result(&ring, child * KINDS + kind, 0);
	SCENARIO_CHECK(!stat(name, &made), "%s: %m", name);
	SCENARIO_CHECK(made.st_uid == owner, "%s is user %u's", name, made.st_uid);
	rmdir(name);
}

static void check(int round)
{
	(void)round;
	for (int child = 0; child < 2; child++)
		for (int kind = 0; kind < KINDS; kind++)
			expect_made(child, kind);
	ring_expect_nothing(&ring, "all made");
	arm(0);
	pass_turn();
}

int main(void)
{
	char answer;

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0) && !chmod(".", 0777), "%m");
	for (int i = 0; i < 2 * KINDS; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i / KINDS][i % KINDS]), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	personality[AS_ROOT] = io_uring_register_personality(&ring);
	SCENARIO_REQUIRE(personality[AS_ROOT] == 1, "%d", personality[AS_ROOT]);
	if (!fork())
		child();
	SCENARIO_REQUIRE(read(pair[0], &answer, 1) == 1 && answer == 2, "%d", answer);
	personality[AS_NOBODY] = answer;
	arm(0);
	pass_turn();
	return scenario_main(check);
}
