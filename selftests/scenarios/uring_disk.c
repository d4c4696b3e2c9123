// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread that keeps many disk requests of a ring in flight, direct and buffered ones, without ever pausing: each
// block is written with its own pattern, read back and compared, so a request that is lost, done twice or done with
// other data shows.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define BLOCKS 48
#define SIZE   16384

static struct io_uring ring;
static int direct, buffered;
static atomic_bool ending;
static atomic_ulong turns; /* blocks that were written and read back */

static struct block {
	char *data;
	unsigned turn;
	bool reading;
} blocks[BLOCKS];

static void fill(struct block *block, char *data)
{
	unsigned *words = (unsigned *)data;

	for (unsigned i = 0; i < SIZE / sizeof(*words); i++)
		words[i] = (unsigned)(block - blocks) << 24 ^ block->turn << 12 ^ i;
}

static void submit(struct block *block)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	unsigned index = (unsigned)(block - blocks);
	int file = index % 2 ? direct : buffered;

	if (block->reading)
		io_uring_prep_read(sqe, file, block->data, SIZE, (unsigned long)index * SIZE);
	else
		io_uring_prep_write(sqe, file, block->data, SIZE, (unsigned long)index * SIZE);
	if (index % 4 == 2)
		sqe->flags |= IOSQE_ASYNC;
	sqe->user_data = index;
	ring_submit(&ring, 1);
}

static void turn(struct block *block)
{
	static char wanted[SIZE];

	if (block->reading) {
		fill(block, wanted);
		SCENARIO_CHECK(!memcmp(block->data, wanted, SIZE), "block %ld, turn %u: other data",
			       (long)(block - blocks), block->turn);
		block->turn++;
		atomic_fetch_add(&turns, 1);
		fill(block, block->data);
	} else {
		memset(block->data, 0, SIZE);
	}
	block->reading = !block->reading;
	submit(block);
}

static void *work(void *unused)
{
	for (int i = 0; i < BLOCKS; i++) {
		fill(&blocks[i], blocks[i].data);
		submit(&blocks[i]);
	}
	while (!atomic_load(&ending)) {
		struct __kernel_timespec limit = {.tv_sec = 20};
		struct io_uring_cqe *cqe = NULL;
		int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

		SCENARIO_REQUIRE(!err, "a request is lost: %s", strerror(-err));
		SCENARIO_CHECK(cqe->user_data < BLOCKS && cqe->res == SIZE, "block %llu: %d",
			       (unsigned long long)cqe->user_data, cqe->res);
		err = (int)(cqe->user_data % BLOCKS);
		io_uring_cqe_seen(&ring, cqe);
		turn(&blocks[err]);
	}
	return unused;
}

/* All that was in flight comes back, and goes round again. */
static void check(int round)
{
	unsigned long before = atomic_load(&turns);

	SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(&turns) >= before + 2UL * BLOCKS, 15), "round %d: no progress",
		       round);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	buffered = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	direct = open("file", O_RDWR | O_CLOEXEC | O_DIRECT);
	if (direct < 0) /* tmpfs before v6.6 */
		direct = open("file", O_RDWR | O_CLOEXEC);
	SCENARIO_REQUIRE(buffered >= 0 && direct >= 0, "%m");
	for (int i = 0; i < BLOCKS; i++)
		SCENARIO_REQUIRE(!posix_memalign((void **)&blocks[i].data, 4096, SIZE), "no memory");
	SCENARIO_REQUIRE(!io_uring_queue_init(BLOCKS, &ring, 0), "%m");
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, work, NULL), "%m");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(atomic_load(&turns) > 0, 15), "no block comes back");
	scenario_tell("ring", "%d", ring.ring_fd);
	scenario_main(check);
	atomic_store(&ending, true);
	return pthread_join(thread, NULL);
}
