// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers, and what became of the memory at their addresses: nothing (small, huge, shared, and not at the
// begin of a page), discarded and written anew, unmapped. A fixed write takes what the ring has pinned.
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define SIZE      16384
#define HUGE_SIZE (2UL << 20)

enum {
	KEPT,
	INNER, /* within KEPT */
	SHARED,
	HUGE,
	DISCARDED,
	UNMAPPED,
	BUFFERS,
};

static struct io_uring ring;
static struct iovec buffers[BUFFERS];
static int pipe_fds[2];

static char *map(size_t size, int flags)
{
	char *address = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(address != MAP_FAILED, "%m");
	return address;
}

static void fill(int buffer, char *address, size_t size)
{
	memset(address, 'a' + buffer, size);
	buffers[buffer] = (struct iovec){address, size};
}

static void register_all(void)
{
	char *huge = map(2 * HUGE_SIZE, MAP_PRIVATE);

	huge = (char *)(((unsigned long)huge + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	madvise(huge, HUGE_SIZE, MADV_HUGEPAGE);
	fill(HUGE, huge, HUGE_SIZE);
	fill(KEPT, map(SIZE, MAP_PRIVATE), SIZE);
	fill(INNER, (char *)buffers[KEPT].iov_base + 5000, 6000);
	fill(SHARED, map(SIZE, MAP_SHARED), SIZE);
	fill(DISCARDED, map(SIZE, MAP_PRIVATE), SIZE);
	fill(UNMAPPED, map(SIZE, MAP_PRIVATE), SIZE);
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, buffers, BUFFERS), "register buffers");
}

/* What the ring has of a buffer. */
static void check_pinned(int buffer, char letter)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	char text[10] = {}, wanted[10];

	io_uring_prep_write_fixed(sqe, pipe_fds[1], buffers[buffer].iov_base, sizeof(text), 0, buffer);
	sqe->user_data = buffer;
	ring_submit(&ring, 1);
	SCENARIO_CHECK(ring_expect(&ring, buffer, "fixed write") == sizeof(text), "buffer %d", buffer);
	SCENARIO_REQUIRE(read(pipe_fds[0], text, sizeof(text)) == sizeof(text), "%m");
	memset(wanted, letter, sizeof(wanted));
	SCENARIO_CHECK(!memcmp(text, wanted, sizeof(text)), "buffer %d holds '%.10s'", buffer, text);
}

static void check(int round)
{
	(void)round;
	for (int buffer = 0; buffer < BUFFERS; buffer++)
		check_pinned(buffer, 'a' + buffer);
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	register_all();
	if (argc > 1 && !strcmp(argv[1], "changed")) {
		SCENARIO_REQUIRE(!madvise(buffers[DISCARDED].iov_base, SIZE, MADV_DONTNEED), "%m");
		memset(buffers[DISCARDED].iov_base, '?', SIZE);
		SCENARIO_REQUIRE(!munmap(buffers[UNMAPPED].iov_base, SIZE), "%m");
	}
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
