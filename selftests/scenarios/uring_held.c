// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings that nobody who is left has ever entered: one was set up before an execve(2), one by a thread that has ended;
// and queues of before a resize, of which two processes have kept different parts. argv[1] says which.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define REGISTER_RESIZE_RINGS 33 /* IORING_REGISTER_RESIZE_RINGS */
#define PAGE                  4096

static struct io_uring ring;
static int pipe_fds[2], rounds;
static void (*round_of)(void);

/* --- before execve(2) ------------------------------------------------------------------------------------------- */

static struct io_uring_params params;

/* What comes of it is asked of a child: we stay who has never entered the ring. */
static void use_after_exec(void)
{
	struct io_uring mapped = {};
	pid_t child = fork();
	int status;

	if (!child) {
		struct io_uring_sqe *sqe;

		SCENARIO_REQUIRE(!io_uring_queue_mmap(ring.ring_fd, &params, &mapped), "mmap");
		mapped.sq.sqe_head = mapped.sq.sqe_tail = *mapped.sq.ktail;
		sqe = ring_sqe(&mapped);
		io_uring_prep_nop(sqe);
		sqe->user_data = 7;
		ring_submit(&mapped, 1);
		SCENARIO_REQUIRE(!ring_expect(&mapped, 7, "nop"), "result");
		_exit(0);
	}
	SCENARIO_CHECK(waitpid(child, &status, 0) == child && !status, "child: %x", status);
}

static void set_up_exec(void)
{
	char number[16];
	FILE *file;

	ring.ring_fd = (int)syscall(SYS_io_uring_setup, 8, &params);
	SCENARIO_REQUIRE(ring.ring_fd >= 0, "%m");
	file = fopen("params", "w");
	SCENARIO_REQUIRE(file && fwrite(&params, sizeof(params), 1, file) == 1 && !fclose(file), "%m");
	SCENARIO_REQUIRE(!fcntl(ring.ring_fd, F_SETFD, 0), "%m");
	snprintf(number, sizeof(number), "%d", ring.ring_fd);
	execl("/proc/self/exe", "uring_held", "executed", number, NULL);
	SCENARIO_REQUIRE(0, "execl: %m");
}

static void set_up_executed(int fd)
{
	FILE *file = fopen("params", "r");

	SCENARIO_REQUIRE(file && fread(&params, sizeof(params), 1, file) == 1 && !fclose(file), "%m");
	ring.ring_fd = fd;
	round_of = use_after_exec;
}

/* --- by a thread that has ended --------------------------------------------------------------------------------------
 */

static void *poll_and_end(void *unused)
{
	struct io_uring_sqe *sqe;

	if (!rounds++)
		SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "no ring");
	sqe = ring_sqe(&ring);
	io_uring_prep_poll_add(sqe, pipe_fds[0], POLLIN);
	sqe->user_data = (unsigned)rounds;
	ring_submit(&ring, 1);
	return unused;
}

static void have_polled(void)
{
	pthread_t thread;

	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, poll_and_end, NULL), "thread");
	SCENARIO_REQUIRE(!pthread_join(thread, NULL), "thread");
}

/* The first event ends it with an error, because nobody is left to do more (io_should_terminate_tw()). */
static void let_poll_end(void)
{
	ring_expect_nothing(&ring, "at rest");
	put(pipe_fds[1], "x");
	ring_expect_result(&ring, rounds, -ECANCELED);
	take(pipe_fds[0]);
	have_polled();
}

static void set_up_thread(void)
{
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	have_polled();
	round_of = let_poll_end;
}

/* --- queues of before a resize ----------------------------------------------------------------------------------- */

static unsigned char *old_queues;
static size_t old_size;
static pid_t keeper;
static int *told;

static void keep_queues(void)
{
	unsigned char last = old_queues[old_size - 1];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int asked = 0;; asked++) {
		while (__atomic_load_n(&told[0], __ATOMIC_ACQUIRE) <= asked)
			usleep(1000);
		told[2] = old_queues[old_size - 1] == last;
		__atomic_store_n(&told[1], asked + 1, __ATOMIC_RELEASE);
	}
}

static int has_told(int times)
{
	return __atomic_load_n(&told[1], __ATOMIC_ACQUIRE) == times;
}

static void ask_keeper(void)
{
	__atomic_store_n(&told[0], ++rounds, __ATOMIC_RELEASE);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(has_told(rounds), 30), "it is gone");
	SCENARIO_CHECK(told[2], "its end is another");
	SCENARIO_CHECK(old_queues[PAGE - 1] == 43, "our part is another");
}

static void set_up_resized(void)
{
	struct io_uring_params wanted = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN}, larger = {};

	told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(told != MAP_FAILED, "%m");
	if (io_uring_queue_init_params(256, &ring, &wanted))
		scenario_skip("no IORING_SETUP_DEFER_TASKRUN");
	old_queues = ring.sq.ring_ptr;
	old_size = ring.sq.ring_sz;
	SCENARIO_REQUIRE(old_size > PAGE, "%zu bytes", old_size);
	old_queues[old_size - 1] = 42;
	old_queues[PAGE - 1] = 43;
	keeper = fork();
	if (!keeper)
		keep_queues();
	SCENARIO_REQUIRE(!munmap(old_queues + PAGE, (old_size + PAGE - 1) / PAGE * PAGE - PAGE), "%m");
	larger = (struct io_uring_params){.sq_entries = 512, .cq_entries = 1024};
	if (syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_RESIZE_RINGS, &larger, 1) < 0)
		scenario_skip("this kernel cannot resize rings (Linux 6.13)");
	round_of = ask_keeper;
}

static void check(int round)
{
	(void)round;
	round_of();
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"exec", set_up_exec},
		{"thread", set_up_thread},
		{"resized", set_up_resized},
	};

	if (argc > 2) {
		scenario_init();
		set_up_executed(atoi(argv[2]));
		return scenario_main(check);
	}
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
