// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers whose memory is unmapped, so that nobody but rings has their pages. argv[1]: "rings": two rings of
// one process have the same pages; "processes": rings of two processes; "sealed": what is at their address now cannot
// be moved; "queues": they are the queues of the ring, which the program has mapped; "queues gone": at another address.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define SIZE 8192

static struct io_uring rings[2];
static char *memory;
static int pipe_fds[2], turns[2][2];

static void make_ring(int which)
{
	struct iovec buffer = {memory, SIZE};

	SCENARIO_REQUIRE(!io_uring_queue_init(8, &rings[which], 0), "%m");
	SCENARIO_REQUIRE(!io_uring_register_buffers(&rings[which], &buffer, 1), "register");
}

static void use_ring(int which, char *byte, int store)
{
	struct io_uring_sqe *sqe = ring_sqe(&rings[which]);

	if (store) {
		SCENARIO_REQUIRE(write(pipe_fds[1], byte, 1) == 1, "%m");
		io_uring_prep_read_fixed(sqe, pipe_fds[0], memory + 5000, 1, 0, 0);
	} else {
		io_uring_prep_write_fixed(sqe, pipe_fds[1], memory + 5000, 1, 0, 0);
	}
	sqe->user_data = 7;
	ring_submit(&rings[which], 1);
	SCENARIO_CHECK(ring_expect(&rings[which], 7, "fixed") == 1, "fixed");
	if (!store)
		SCENARIO_REQUIRE(read(pipe_fds[0], byte, 1) == 1, "%m");
}

/* Puts what it is told into its buffer. */
static void child(void)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_ring(1);
	do {
		munmap(memory, SIZE);
		SCENARIO_REQUIRE(write(turns[1][1], "x", 1) == 1, "%m");
		SCENARIO_REQUIRE(read(turns[0][0], &byte, 1) == 1, "%m");
		use_ring(1, &byte, 1);
	} while (1);
}

static void fork_child(void)
{
	char byte;
	pid_t pid;

	SCENARIO_REQUIRE(!pipe(turns[0]) && !pipe(turns[1]), "%m");
	pid = fork();
	SCENARIO_REQUIRE(pid >= 0, "%m");
	if (!pid)
		child();
	SCENARIO_REQUIRE(read(turns[1][0], &byte, 1) == 1, "%m");
}

static void seal(void)
{
	char *here =
		mmap(memory, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	SCENARIO_REQUIRE(here == memory, "%m");
	if (syscall(462, memory, (size_t)SIZE, 0UL)) /* mseal(2) */
		scenario_skip("this kernel has no mseal(2) (Linux 6.10)");
}

static void check_nothing(int round)
{
	ring_expect_nothing(&rings[0], "at rest");
	(void)round;
}

static int with_queues(int gone)
{
	struct iovec buffer = {.iov_len = 128};

	SCENARIO_REQUIRE(!io_uring_queue_init(8, &rings[0], 0), "%m");
	buffer.iov_base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rings[0].ring_fd, IORING_OFF_SQES);
	SCENARIO_REQUIRE(buffer.iov_base != MAP_FAILED, "%m");
	if (io_uring_register_buffers(&rings[0], &buffer, 1))
		scenario_skip("queues are no memory for buffers here");
	if (gone)
		munmap(buffer.iov_base, 4096);
	return scenario_main(check_nothing);
}

static void check(int round)
{
	char mark = (char)('a' + round % 26), found = 0;

	if (turns[0][1]) {
		SCENARIO_REQUIRE(write(turns[0][1], &mark, 1) == 1 && read(turns[1][0], &found, 1) == 1, "%m");
	} else if (rings[1].ring_fd) {
		use_ring(1, &mark, 1);
	} else {
		use_ring(0, &mark, 1);
	}
	use_ring(0, &found, 0);
	SCENARIO_CHECK(found == mark, "round %d: '%c' in place of '%c'", round, found, mark);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "rings";

	scenario_init();
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	if (!strncmp(kind, "queues", 6))
		return with_queues(!strcmp(kind, "queues gone"));
	make_ring(0);
	if (!strcmp(kind, "rings"))
		make_ring(1);
	if (!strcmp(kind, "processes"))
		fork_child();
	SCENARIO_REQUIRE(!munmap(memory, SIZE), "%m");
	if (!strcmp(kind, "sealed"))
		seal();
	return scenario_main(check);
}
