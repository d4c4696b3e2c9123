// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring of a thread that is not the leader and alone may submit (SINGLE_ISSUER, DEFER_TASKRUN); it enters the ring by
// a registered index, and the descriptor is closed. The leader has a ring of its own, and must not get at this one.
// Their io-wq workers have limits and a CPU of their own.
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define BURST               20
#define REGISTER_CLOCK      29         /* IORING_REGISTER_CLOCK */
#define USE_REGISTERED_RING (1U << 31) /* IORING_REGISTER_USE_REGISTERED_RING */

static struct io_uring mine, theirs;
static pthread_barrier_t begin, end;
static unsigned long long next = 100;

static void use_ring(struct io_uring *ring, const char *what)
{
	unsigned long long first = next;

	for (int i = 0; i < BURST; i++) {
		struct io_uring_sqe *sqe = ring_sqe(ring);

		io_uring_prep_nop(sqe);
		sqe->user_data = next++;
	}
	ring_submit(ring, BURST);
	for (; first < next; first++)
		SCENARIO_CHECK(!ring_expect(ring, first, what), "%s", what);
	ring_expect_nothing(ring, what);
}

static void limit_workers(struct io_uring *ring)
{
	unsigned limits[2] = {3, 7};
	unsigned long cpus = 1;

	SCENARIO_REQUIRE(!io_uring_register_iowq_max_workers(ring, limits), "limits");
	SCENARIO_REQUIRE(!io_uring_register_iowq_aff(ring, sizeof(cpus), (void *)&cpus), "affinity");
}

/* Through a registered index, if `flag` says so. */
static void check_limits(int ring, unsigned flag, const char *what)
{
	unsigned limits[2] = {0, 0}; /* asks for them */

	SCENARIO_CHECK(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_IOWQ_MAX_WORKERS | flag, limits, 2),
		       "%s: limits: %m", what);
	SCENARIO_CHECK(limits[0] == 3 && limits[1] == 7, "%s: limits %u and %u", what, limits[0], limits[1]);
}

static void *run(void *unused)
{
	unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

	(void)unused;
	SCENARIO_REQUIRE(!io_uring_queue_init(64, &theirs, flags), "%m");
	SCENARIO_REQUIRE(io_uring_register_ring_fd(&theirs) == 1, "register the ring");
	limit_workers(&theirs);
	close(theirs.ring_fd);
	use_ring(&theirs, "first");
	pthread_barrier_wait(&begin);
	for (;;) {
		pthread_barrier_wait(&begin);
		use_ring(&theirs, "thread");
		check_limits(theirs.enter_ring_fd, USE_REGISTERED_RING, "thread");
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static void check(int round)
{
	int fd;

	use_ring(&mine, "leader");
	check_limits(mine.ring_fd, 0, "leader");
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&end);
	fd = (int)syscall(SYS_io_uring_enter, theirs.enter_ring_fd, 0, 0, 1U << 4 /* IORING_ENTER_REGISTERED_RING */,
			  NULL, 0);
	SCENARIO_CHECK(fd == -1 && errno == EBADF, "round %d: the leader has the thread's index", round);
}

int main(void)
{
	unsigned clock[4] = {CLOCK_BOOTTIME}; /* struct io_uring_clock_register */
	pthread_t thread;

	scenario_init();
	pthread_barrier_init(&begin, NULL, 2);
	pthread_barrier_init(&end, NULL, 2);
	SCENARIO_REQUIRE(!io_uring_queue_init(32, &mine, IORING_SETUP_COOP_TASKRUN), "%m");
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, run, NULL), "%m");
	pthread_barrier_wait(&begin);
	limit_workers(&mine);
	if (syscall(SYS_io_uring_register, mine.ring_fd, REGISTER_CLOCK, clock, 0))
		scenario_skip("IORING_REGISTER_CLOCK (v6.12): %s", strerror(errno));
	use_ring(&mine, "first");
	return scenario_main(check);
}
