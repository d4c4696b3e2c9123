// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of other kinds, one armed poll in each: those of the table below, registered (no fd at all), mapped (its fd is
// closed: only the mapping is left), restricted, forked (a child has it, too). Nothing waits in a ring that is disabled
// or polls for completions.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define PINNED_CPU 0

static struct io_uring ring, attached; /* the second: with the SQ thread of the first */
static int pipe_fds[2];
static bool usable = true;

static void arm(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, pipe_fds[0], POLLIN);
	sqe->user_data = 42;
	ring_submit(&ring, 1);
}

static bool as_user;

/* It takes what is submitted to it, and there is one thread for both. */
static void check_attached(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&attached);
	DIR *threads = opendir("/proc/self/task");
	int count = 0;

	io_uring_prep_nop(sqe);
	sqe->user_data = 44;
	ring_submit(&attached, 1);
	ring_expect_result(&attached, 44, 0);
	SCENARIO_REQUIRE(threads, "%m");
	while (readdir(threads))
		count++;
	closedir(threads);
	SCENARIO_CHECK(count == 4, "%d entries: two threads are four", count);
}

/* The thread works with the credentials that its maker had: those of the user, who may not read this. */
static void check_user(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int result;

	io_uring_prep_openat(sqe, AT_FDCWD, "/etc/shadow", O_RDONLY, 0);
	sqe->user_data = 45;
	ring_submit(&ring, 1);
	result = ring_expect(&ring, 45, "open");
	SCENARIO_CHECK(result == -EACCES, "%d in place of EACCES", result);
}

/* The only thread besides this one, with a mask of one CPU. */
static void check_pinned(void)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;

	SCENARIO_REQUIRE(threads, "%m");
	while ((entry = readdir(threads))) {
		cpu_set_t cpus;
		int tid = atoi(entry->d_name);

		if (!tid || tid == getpid())
			continue;
		SCENARIO_REQUIRE(!sched_getaffinity(tid, sizeof(cpus), &cpus), "%m");
		SCENARIO_CHECK(CPU_COUNT(&cpus) == 1 && CPU_ISSET(PINNED_CPU, &cpus), "%d CPUs", CPU_COUNT(&cpus));
	}
	closedir(threads);
}

static void check(int round)
{
	char byte;

	(void)round;
	if (!usable)
		return;
	SCENARIO_REQUIRE(write(pipe_fds[1], "x", 1) == 1, "%m");
	SCENARIO_CHECK(ring_expect(&ring, 42, "poll") == POLLIN, "poll");
	if (attached.ring_fd)
		check_attached();
	if (as_user)
		check_user();
	if (ring.flags & IORING_SETUP_SQ_AFF)
		check_pinned();
	SCENARIO_REQUIRE(read(pipe_fds[0], &byte, 1) == 1, "%m");
	arm();
}

struct kind {
	const char *name;
	unsigned flags;
};

static const struct kind kinds[] = {
	{"sqpoll", IORING_SETUP_SQPOLL},
	{"defer", IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
	{"iopoll", IORING_SETUP_IOPOLL},
	{"sqe128", IORING_SETUP_SQE128},
	{"cqe32", IORING_SETUP_CQE32},
	{"disabled", IORING_SETUP_R_DISABLED},
	{"restricted", IORING_SETUP_R_DISABLED},
	{"attached", IORING_SETUP_SQPOLL},
	{"sqpoll-user", IORING_SETUP_SQPOLL},
	{"pinned", IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF},
	{"hybrid", IORING_SETUP_IOPOLL | 1U << 17}, /* IORING_SETUP_HYBRID_IOPOLL, Linux 6.13 */
};

/* liburing 2.3 declares functions for these, and does not export them. */
static long register_with(unsigned opcode, void *argument, unsigned count)
{
	return syscall(SYS_io_uring_register, ring.ring_fd, opcode, argument, count);
}

/* Only what the checks need is allowed, and only after it is enabled. */
static void restrict_ring(void)
{
	struct io_uring_restriction allowed[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD},
		{.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_ENABLE_RINGS},
	};

	SCENARIO_REQUIRE(!register_with(IORING_REGISTER_RESTRICTIONS, allowed, 2), "restrictions");
	SCENARIO_REQUIRE(!register_with(IORING_REGISTER_ENABLE_RINGS, NULL, 0), "enable");
}

/* A child that holds the ring and does nothing with it. */
static void fork_child(void)
{
	pid_t child = fork();

	SCENARIO_REQUIRE(child >= 0, "%m");
	while (!child)
		pause();
	scenario_tell("child", "%d", child);
}

/* A ring that nothing can be submitted to, or with nothing that waits in it: enabled, or used, by the check. */
static void check_late(int round)
{
	struct io_uring_sqe *sqe;

	if (ring.flags & IORING_SETUP_R_DISABLED) {
		if (round == 1)
			SCENARIO_REQUIRE(!register_with(IORING_REGISTER_ENABLE_RINGS, NULL, 0), "enable");
		sqe = ring_sqe(&ring);
		io_uring_prep_nop(sqe);
		sqe->user_data = 43;
		ring_submit(&ring, 1);
		SCENARIO_CHECK(ring_expect(&ring, 43, "nop") == 0, "nop");
	}
	ring_expect_nothing(&ring, "late");
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	struct io_uring_params params = {.sq_thread_idle = 50, .sq_thread_cpu = PINNED_CPU};

	scenario_init();
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i].name))
			params.flags = kinds[i].flags;
	as_user = !strcmp(kind, "sqpoll-user");
	if (as_user)
		SCENARIO_REQUIRE(!seteuid(1), "%m");
	if (io_uring_queue_init_params(8, &ring, &params)) {
		SCENARIO_REQUIRE(!strcmp(kind, "hybrid"), "%m");
		scenario_skip("this kernel has no hybrid polling (Linux 6.13)");
	}
	if (as_user)
		SCENARIO_REQUIRE(!seteuid(0), "%m");
	if (!strcmp(kind, "attached")) {
		params = (struct io_uring_params){.flags = IORING_SETUP_SQPOLL | IORING_SETUP_ATTACH_WQ,
						  .wq_fd = (unsigned)ring.ring_fd};
		SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &attached, &params), "%m");
	}
	scenario_tell("ring", "%d", ring.ring_fd);
	if (!strcmp(kind, "restricted"))
		restrict_ring();
	if (!strcmp(kind, "disabled") || params.flags & IORING_SETUP_IOPOLL)
		return scenario_main(check_late);
	if (!strcmp(kind, "registered"))
		SCENARIO_REQUIRE(io_uring_register_ring_fd(&ring) == 1, "register the ring");
	arm();
	if (!strcmp(kind, "registered") || !strcmp(kind, "mapped"))
		close(ring.ring_fd);
	usable = strcmp(kind, "mapped") != 0;
	if (!strcmp(kind, "forked"))
		fork_child();
	return scenario_main(check);
}
