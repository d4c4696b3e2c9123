// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Many of one thing, each with a number, and each told once: completions in the overflow list, links of a chain that is
// in the middle of its work, threads with a ring each that only they may submit to, rings that share a submission
// thread, children that have nothing to do with the ring. argv[1] says which.
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define OVERFLOW 10000
#define LINKS    100
#define THREADS  8
#define READS    16
#define SHARING  4
#define CHILDREN 5999

static void (*round_of)(void);
static atomic_int *users; /* children that have used a ring; whether one does now */

/* --- completions that did not fit ------------------------------------------------------------------------------- */

static struct io_uring ring;
static unsigned long long next_posted, next_read;

/* In eights; liburing would fetch what is in the list first. */
static void post_many(void)
{
	for (int i = 0; i < OVERFLOW / 8; i++) {
		for (int n = 0; n < 8; n++) {
			struct io_uring_sqe *sqe = ring_sqe(&ring);

			io_uring_prep_nop(sqe);
			sqe->user_data = next_posted++;
		}
		io_uring_smp_store_release(ring.sq.ktail, *ring.sq.ktail + 8);
		ring.sq.sqe_head = ring.sq.sqe_tail;
		SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, 8, 0, 0, NULL, 0) == 8, "%m");
	}
}

static void read_many(void)
{
	SCENARIO_CHECK(*ring.sq.kflags & IORING_SQ_CQ_OVERFLOW, "nothing is in the list");
	while (next_read < next_posted)
		SCENARIO_REQUIRE(!ring_expect(&ring, next_read++, "overflow"), "result");
	ring_expect_nothing(&ring, "after all");
	SCENARIO_CHECK(!*ring.cq.koverflow, "%u were lost", *ring.cq.koverflow);
	post_many();
}

static void set_up_overflow(void)
{
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	for (unsigned i = 0; i < 8; i++)
		ring.sq.array[i] = i;
	post_many();
	round_of = read_many;
}

/* --- a chain ---------------------------------------------------------------------------------------------------- */

static int links[LINKS][2];
static char bytes[LINKS];

static void let_link(int i)
{
	char byte = (char)('a' + (i + (int)next_read) % 26);

	SCENARIO_REQUIRE(write(links[i][1], &byte, 1) == 1, "%m");
	SCENARIO_CHECK(ring_expect(&ring, next_read * LINKS + (unsigned)i, "link") == 1, "link %d", i);
	SCENARIO_CHECK(bytes[i] == byte, "link %d has read %x", i, bytes[i]);
}

static void begin_chain(void)
{
	for (int i = 0; i < LINKS; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_read(sqe, links[i][0], &bytes[i], 1, 0);
		sqe->user_data = next_read * LINKS + (unsigned)i;
		if (i < LINKS - 1)
			sqe->flags |= IOSQE_IO_LINK;
	}
	ring_submit(&ring, LINKS);
	for (int i = 0; i < LINKS / 2; i++)
		let_link(i);
}

static void end_chain(void)
{
	ring_expect_nothing(&ring, "in the middle");
	for (int i = LINKS / 2; i < LINKS; i++)
		let_link(i);
	ring_expect_nothing(&ring, "at the end");
	next_read++;
	begin_chain();
}

static void set_up_chain(void)
{
	for (int i = 0; i < LINKS; i++)
		SCENARIO_REQUIRE(!pipe(links[i]), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(128, &ring, 0), "%m");
	begin_chain();
	round_of = end_chain;
}

/* --- reads of several rings --------------------------------------------------------------------------------------- */

static struct reader {
	struct io_uring ring;
	pthread_t thread;
	int pipes[READS][2];
	char bytes[READS];
	unsigned long long rounds;
} readers[THREADS];
static pthread_barrier_t begin, end;

static void read_again(struct reader *reader, int i)
{
	struct io_uring_sqe *sqe = ring_sqe(&reader->ring);

	io_uring_prep_read(sqe, reader->pipes[i][0], &reader->bytes[i], 1, 0);
	sqe->user_data = reader->rounds * READS + (unsigned)i;
	ring_submit(&reader->ring, 1);
}

static void let_read(struct reader *reader)
{
	ring_expect_nothing(&reader->ring, "at rest");
	for (int i = 0; i < READS; i++) {
		put(reader->pipes[i][1], "x");
		SCENARIO_CHECK(ring_expect(&reader->ring, reader->rounds * READS + (unsigned)i, "read") == 1, "read");
		SCENARIO_CHECK(reader->bytes[i] == 'x', "another byte");
		reader->bytes[i] = 0;
	}
	ring_expect_nothing(&reader->ring, "after the round");
	reader->rounds++;
	for (int i = 0; i < READS; i++)
		read_again(reader, i);
}

static void open_pipes(struct reader *reader)
{
	for (int i = 0; i < READS; i++)
		SCENARIO_REQUIRE(!pipe(reader->pipes[i]), "%m");
	for (int i = 0; i < READS; i++)
		read_again(reader, i);
}

static void *serve(void *argument)
{
	struct reader *reader = argument;

	if (io_uring_queue_init(32, &reader->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		scenario_skip("no IORING_SETUP_DEFER_TASKRUN");
	open_pipes(reader);
	pthread_barrier_wait(&end);
	for (;;) {
		pthread_barrier_wait(&begin);
		let_read(reader);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static void let_threads_read(void)
{
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&end);
}

static void set_up_threads(void)
{
	pthread_barrier_init(&begin, NULL, THREADS + 1);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		SCENARIO_REQUIRE(!pthread_create(&readers[i].thread, NULL, serve, &readers[i]), "thread");
	pthread_barrier_wait(&end);
	round_of = let_threads_read;
}

/* --- one submission thread ---------------------------------------------------------------------------------------- */

static int count_sq_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int count = 0;

	SCENARIO_REQUIRE(tasks, "%m");
	for (struct dirent *entry; (entry = readdir(tasks));) {
		char path[300], name[32] = {};
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		count += fgets(name, sizeof(name), file) && !strncmp(name, "iou-sqp-", 8);
		fclose(file);
	}
	closedir(tasks);
	return count;
}

static void let_sharing_read(void)
{
	SCENARIO_CHECK(count_sq_threads() == 1, "%d submission threads", count_sq_threads());
	for (int i = 0; i < SHARING; i++)
		let_read(&readers[i]);
}

static void set_up_sharing(void)
{
	for (int i = 0; i < SHARING; i++) {
		struct io_uring_params params = {.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 50};

		if (i) {
			params.flags |= IORING_SETUP_ATTACH_WQ;
			params.wq_fd = (unsigned)readers[0].ring.ring_fd;
		}
		SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &readers[i].ring, &params), "%m");
		open_pipes(&readers[i]);
	}
	round_of = let_sharing_read;
}

/* --- a large family ------------------------------------------------------------------------------------------------
 */

static void let_first_read(void)
{
	let_read(&readers[0]);
}

static void make_children(void (*begin_of)(void))
{
	for (int i = 0; i < CHILDREN; i++) {
		pid_t child = fork();

		if (child < 0 && errno == EAGAIN)
			scenario_skip("only %d processes can be made here (RLIMIT_NPROC, pids.max, kernel.pid_max)", i);
		SCENARIO_REQUIRE(child >= 0, "fork %d: %m", i);
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (begin_of)
				begin_of();
			for (;;)
				pause();
		}
	}
}

/* The children have shared memory, of which it matters to a ring who maps it, but not this ring. */
static void set_up_family(void)
{
	SCENARIO_REQUIRE(mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "%m");
	make_children(NULL);
	SCENARIO_REQUIRE(!io_uring_queue_init(32, &readers[0].ring, 0), "%m");
	open_pipes(&readers[0]);
	round_of = let_first_read;
}

/* --- a large family that shares a ring ---------------------------------------------------------------------------- */

static void use_shared(void)
{
	struct io_uring *shared = &readers[1].ring;
	struct io_uring_sqe *sqe;

	while (atomic_exchange(&users[1], 1)) /* one at a time */
		sched_yield();
	shared->sq.sqe_head = shared->sq.sqe_tail = *shared->sq.ktail; /* as the one before has left it */
	sqe = ring_sqe(shared);
	io_uring_prep_nop(sqe);
	sqe->user_data = (unsigned)atomic_load(users);
	ring_submit(shared, 1);
	SCENARIO_REQUIRE(!ring_expect(shared, (unsigned)atomic_load(users), "nop of a child"), "result");
	atomic_fetch_add(users, 1);
	atomic_store(&users[1], 0);
}

static void set_up_users(void)
{
	users = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(users != MAP_FAILED, "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &readers[1].ring, 0), "%m");
	make_children(use_shared);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(atomic_load(users) == CHILDREN, 30), "only %d", atomic_load(users));
	SCENARIO_REQUIRE(!io_uring_queue_init(32, &readers[0].ring, 0), "%m");
	open_pipes(&readers[0]);
	round_of = let_first_read;
}

static void check(int round)
{
	(void)round;
	round_of();
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"overflow", set_up_overflow}, {"chain", set_up_chain},   {"threads", set_up_threads},
		{"sharing", set_up_sharing},   {"family", set_up_family}, {"users", set_up_users},
	};

	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
