// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Many rings, a thread each, with many disk requests in flight without a pause: `uring_load direct|buffered [flags]`.
 * Each request has a number of its own, and is told once; each block is written, read back and compared.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define RINGS 8
#define DEPTH 128
#define SIZE  4096

static atomic_bool ending;

struct block {
	char *data;
	unsigned long long number; /* of the request in flight */
	bool reading;
};

static struct load {
	struct io_uring ring;
	int index, file;
	unsigned flags;
	bool paced;
	unsigned long long numbers;
	struct block blocks[DEPTH];
	atomic_ulong turns;
	pthread_t thread;
} loads[RINGS];

static void fill(const struct load *load, unsigned block, unsigned long long number, char *data)
{
	unsigned long long *words = (unsigned long long *)data;

	for (unsigned i = 0; i < SIZE / sizeof(*words); i++)
		words[i] = number << 20 ^ (unsigned long long)load->index << 56 ^ block << 10 ^ i;
}

static void submit(struct load *load, unsigned index)
{
	struct io_uring_sqe *sqe = ring_sqe(&load->ring);
	struct block *block = &load->blocks[index];

	block->number = load->numbers++;
	if (block->reading) {
		memset(block->data, 0, SIZE);
		io_uring_prep_read(sqe, load->file, block->data, SIZE, (unsigned long long)index * SIZE);
	} else {
		fill(load, index, block->number, block->data);
		io_uring_prep_write(sqe, load->file, block->data, SIZE, (unsigned long long)index * SIZE);
	}
	sqe->user_data = block->number << 8 | index;
}

static void complete(struct load *load, const struct io_uring_cqe *cqe)
{
	unsigned index = cqe->user_data & (DEPTH - 1);
	struct block *block = &load->blocks[index];
	static _Thread_local char wanted[SIZE];
	static _Thread_local unsigned long long written[DEPTH];

	SCENARIO_CHECK(cqe->user_data >> 8 == block->number, "request %llu in place of %llu", cqe->user_data >> 8,
		       block->number);
	SCENARIO_CHECK(cqe->res == SIZE, "request %llu: %d", cqe->user_data >> 8, cqe->res);
	if (block->reading) {
		fill(load, index, written[index], wanted);
		SCENARIO_CHECK(!memcmp(block->data, wanted, SIZE), "block %u of ring %d: other data", index,
			       load->index);
		atomic_fetch_add(&load->turns, 1);
	} else {
		written[index] = block->number;
	}
	block->reading = !block->reading;
}

static void *work(void *argument)
{
	struct load *load = argument;
	int err = io_uring_queue_init(DEPTH, &load->ring, load->flags);

	SCENARIO_REQUIRE(!err, "%s", strerror(-err));
	for (unsigned i = 0; i < DEPTH; i++)
		submit(load, i);
	io_uring_submit(&load->ring);
	while (!atomic_load(&ending)) {
		struct __kernel_timespec limit = {.tv_sec = 60};
		struct io_uring_cqe *cqe = NULL;

		err = io_uring_wait_cqe_timeout(&load->ring, &cqe, &limit);
		SCENARIO_REQUIRE(!err, "a request is lost: %s", strerror(-err));
		while (!io_uring_peek_cqe(&load->ring, &cqe)) {
			struct io_uring_cqe copy = {.user_data = cqe->user_data, .res = cqe->res};

			io_uring_cqe_seen(&load->ring, cqe);
			complete(load, &copy);
			submit(load, copy.user_data & (DEPTH - 1));
		}
		/* The page cache answers at once: without a pause the disk would never have written all that is dirty,
		 * and a restore would count up to millions of requests. */
		if (load->paced)
			usleep(5000);
		io_uring_submit(&load->ring);
	}
	return NULL;
}

static void check(int round)
{
	unsigned long before[RINGS];

	for (int i = 0; i < RINGS; i++)
		before[i] = atomic_load(&loads[i].turns);
	for (int i = 0; i < RINGS; i++)
		SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(&loads[i].turns) >= before[i] + 2UL * DEPTH, 60),
			       "round %d: ring %d makes no progress", round, i);
}

int main(int argc, char **argv)
{
	bool direct = argc > 1 && !strcmp(argv[1], "direct");
	unsigned flags = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;

	scenario_init();
	for (int i = 0; i < RINGS; i++) {
		struct load *load = &loads[i];
		char name[16];

		snprintf(name, sizeof(name), "file.%d", i);
		load->index = i;
		load->flags = flags;
		load->paced = !direct;
		load->file = open(name, O_RDWR | O_CREAT | O_CLOEXEC | (direct ? O_DIRECT : 0), 0600);
		SCENARIO_REQUIRE(load->file >= 0, "%m");
		for (int j = 0; j < DEPTH; j++)
			SCENARIO_REQUIRE(!posix_memalign((void **)&load->blocks[j].data, SIZE, SIZE), "no memory");
		SCENARIO_REQUIRE(!pthread_create(&load->thread, NULL, work, load), "%m");
	}
	for (int i = 0; i < RINGS; i++)
		SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(atomic_load(&loads[i].turns) > 0, 60), "no block comes back");
	return scenario_main(check);
}
