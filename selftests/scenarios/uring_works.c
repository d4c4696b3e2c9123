// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Works of io-wq that wait without end: 32 opens of FIFOs, 32 splices and tees. Each round lets every one happen,
// counts its completion once, and submits it anew. Arguments: flags of the ring, how many workers there may be of each
// kind (the rest of the works is queued), how many opens there are, and a user ID that the program takes on.
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/scenarios/uring_workers.h"

#define OPENS   32
#define SPLICES 32
#define FULL    (1 << 16)

enum {
	OPEN = 100,
	SPLICE = 200,
	LINKED = 300,
	/* Splices that are not from an empty pipe to an empty one. */
	TEE = 0,
	FROM_SOCKET, /* with the lock of the pipe */
	TO_SOCKET,
	TO_FULL,
	FIXED,
	BEFORE_NOP, /* another request is linked to it */
};

static struct io_uring ring;
static int in[SPLICES][2], out[SPLICES][2];
static char filling[FULL];
static int opens = OPENS;

static const char *fifo(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "fifo%d", i);
	return name;
}

static void arm_open(int i)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_openat(sqe, AT_FDCWD, fifo(i), O_RDONLY | O_CLOEXEC, 0);
	sqe->flags |= IOSQE_ASYNC;
	sqe->user_data = OPEN + i;
	ring_submit(&ring, 1);
}

static void arm_splice(int i)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int count = 1;

	if (i == TEE)
		io_uring_prep_tee(sqe, in[i][0], out[i][1], 32, 0);
	else if (i == FIXED && ring_keeps_fixed_inputs()) {
		io_uring_prep_splice(sqe, 1, -1, 0, -1, 32, SPLICE_F_FD_IN_FIXED);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else
		io_uring_prep_splice(sqe, in[i][0], -1, out[i][1], -1, 32, 0);
	sqe->user_data = SPLICE + i;
	if (i == BEFORE_NOP) {
		sqe->flags |= IOSQE_IO_HARDLINK;
		sqe = ring_sqe(&ring);
		io_uring_prep_nop(sqe);
		sqe->user_data = LINKED;
		count = 2;
	}
	ring_submit(&ring, count);
}

static void check_open(int i)
{
	int writer = open(fifo(i), O_WRONLY | O_CLOEXEC), reader;
	char text[8] = "";

	SCENARIO_REQUIRE(writer >= 0, "%m");
	reader = ring_expect(&ring, OPEN + i, "open");
	SCENARIO_REQUIRE(reader >= 0, "open %d: %d", i, reader);
	put(writer, "fifo");
	SCENARIO_CHECK(read(reader, text, sizeof(text)) == 4 && !memcmp(text, "fifo", 4), "%d: other data", i);
	close(writer);
	close(reader);
	arm_open(i);
}

static void check_splice(int i)
{
	char text[FULL] = "";
	int got;

	if (i == TO_FULL)
		SCENARIO_REQUIRE(read(out[i][0], text, FULL) == FULL && !text[0], "%m");
	else
		put(in[i][1], "splice");
	got = ring_expect(&ring, SPLICE + i, "splice");
	SCENARIO_CHECK(got == 6, "splice %d: %d", i, got);
	if (i == BEFORE_NOP)
		SCENARIO_CHECK(ring_expect(&ring, LINKED, "linked") == 0, "linked");
	SCENARIO_REQUIRE(read(out[i][0], text, FULL) == 6 && !memcmp(text, "splice", 6), "%d: other data", i);
	if (i == TEE)
		take(in[i][0]);
	if (i == TO_FULL) {
		put(in[i][1], "splice");
		SCENARIO_REQUIRE(write(out[i][1], filling, FULL) == FULL, "%m");
	}
	arm_splice(i);
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "at rest");
	for (int i = 0; i < opens; i++)
		check_open(i);
	for (int i = 0; i < SPLICES; i++)
		check_splice(i);
	ring_expect_nothing(&ring, "after the round");
}

static void set_up(void)
{
	int fixed[2], pair[2];

	for (int i = 0; i < OPENS; i++)
		SCENARIO_REQUIRE(!mkfifo(fifo(i), 0666) && !chmod(fifo(i), 0666), "%m");
	for (int i = 0; i < SPLICES; i++)
		SCENARIO_REQUIRE(!pipe2(in[i], O_CLOEXEC) && !pipe2(out[i], O_CLOEXEC), "%m");
	for (int i = FROM_SOCKET; i <= TO_SOCKET; i++) {
		int *ends = i == FROM_SOCKET ? in[i] : out[i];

		SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "%m");
		close(ends[0]);
		close(ends[1]);
		ends[0] = pair[0];
		ends[1] = pair[1];
	}
	put(in[TO_FULL][1], "splice");
	SCENARIO_REQUIRE(write(out[TO_FULL][1], filling, FULL) == FULL, "%m");
	fixed[0] = out[FIXED][1];
	fixed[1] = in[FIXED][0];
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, fixed, 2), "files");
}

static void become(int uid)
{
	SCENARIO_REQUIRE(!chmod(".", 0777) && !setgroups(0, NULL) && !setresgid(uid, uid, uid) &&
				 !setresuid(uid, uid, uid),
			 "%m");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? atoi(argv[1]) : 0};
	unsigned workers = argc > 2 ? atoi(argv[2]) : OPENS, limits[2] = {workers, workers};

	scenario_init();
	if (argc > 3)
		opens = atoi(argv[3]);
	if (argc > 4)
		become(atoi(argv[4]));
	SCENARIO_REQUIRE(!io_uring_queue_init_params(128, &ring, &params), "%m");
	SCENARIO_REQUIRE(!io_uring_register_iowq_max_workers(&ring, limits), "limits");
	set_up();
	for (int i = 0; i < opens; i++)
		arm_open(i);
	for (int i = 0; i < SPLICES; i++)
		arm_splice(i);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(sleeping_workers() == (int)workers * (opens ? 2 : 1), 20), "%d workers",
			 sleeping_workers());
	return scenario_main(check);
}
