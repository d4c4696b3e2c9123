// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// As much as a table of a ring holds, in one ring: 32,768 fixed files (IORING_MAX_FIXED_FILES was that once) that have
// no descriptor, 1,024 registered buffers, 16 personalities.
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define FILES         32768
#define BATCH         512
#define BUFFERS       1024
#define BUFFER_SIZE   8192
#define PERSONALITIES 16

static struct io_uring ring;
static int files = FILES;
static char *memory;
static unsigned long long counts[FILES];

/* The kernel takes no larger table than the limit of descriptors; half of it where that cannot be raised. */
static void allow_files(void)
{
	struct rlimit limit;

	SCENARIO_REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit), "%m");
	limit.rlim_cur = FILES + 100;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	if (!setrlimit(RLIMIT_NOFILE, &limit))
		return;
	files = FILES / 2;
	limit.rlim_cur = limit.rlim_max = (unsigned)files + 100;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		scenario_skip("the limit of descriptors cannot be raised to %d: %s", files + 100, strerror(errno));
}

static void register_files(void)
{
	SCENARIO_REQUIRE(!io_uring_register_files_sparse(&ring, (unsigned)files), "sparse table");
	for (int first = 0; first < files; first += BATCH) {
		int fds[BATCH];

		for (int i = 0; i < BATCH; i++) {
			fds[i] = eventfd((unsigned)(first + i + 1), EFD_CLOEXEC | EFD_NONBLOCK);
			SCENARIO_REQUIRE(fds[i] >= 0, "%m");
			counts[first + i] = (unsigned)(first + i + 1);
		}
		SCENARIO_REQUIRE(io_uring_register_files_update(&ring, (unsigned)first, fds, BATCH) == BATCH,
				 "update files");
		for (int i = 0; i < BATCH; i++)
			close(fds[i]);
	}
}

static void register_buffers(void)
{
	static struct iovec iov[BUFFERS];

	memory = mmap(NULL, BUFFERS * BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	for (int i = 0; i < BUFFERS; i++)
		iov[i] = (struct iovec){memory + i * BUFFER_SIZE, BUFFER_SIZE};
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, iov, BUFFERS), "register buffers");
}

/* With a filesystem UID of its own each, set for this thread only. */
static void register_personalities(void)
{
	for (int id = 1; id <= PERSONALITIES; id++) {
		SCENARIO_REQUIRE(!syscall(SYS_setresgid, -1, 2000 + id, -1), "%m");
		SCENARIO_REQUIRE(io_uring_register_personality(&ring) == id, "personality %d", id);
	}
	SCENARIO_REQUIRE(!syscall(SYS_setresgid, -1, 0, -1), "%m");
}

/* Reads the count of an eventfd into a buffer, and writes it back from there. */
static void check_slot(int slot, int buffer, int personality)
{
	char *at = memory + buffer * BUFFER_SIZE + 8 * (slot % (BUFFER_SIZE / 8));
	unsigned long long count = 0;

	for (int write = 0; write < 2; write++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		if (write)
			io_uring_prep_write_fixed(sqe, slot, at, 8, 0, buffer);
		else
			io_uring_prep_read_fixed(sqe, slot, at, 8, 0, buffer);
		sqe->flags |= IOSQE_FIXED_FILE;
		sqe->personality = (unsigned short)personality;
		sqe->user_data = (unsigned)slot;
		ring_submit(&ring, 1);
		SCENARIO_CHECK(ring_expect(&ring, (unsigned)slot, write ? "write" : "read") == 8, "slot %d", slot);
	}
	memcpy(&count, at, sizeof(count));
	SCENARIO_CHECK(count == counts[slot], "slot %d counts %llu, not %llu", slot, count, counts[slot]);
}

static void check(int round)
{
	for (int i = 0; i < BUFFERS; i++)
		check_slot((i * 32 + round) % files, i, 1 + i % PERSONALITIES);
	check_slot(0, 0, 1);
	check_slot(files - 1, BUFFERS - 1, PERSONALITIES);
	ring_expect_nothing(&ring, "after the round");
}

int main(void)
{
	scenario_init();
	allow_files();
	SCENARIO_REQUIRE(!io_uring_queue_init(64, &ring, 0), "%m");
	register_files();
	register_buffers();
	register_personalities();
	scenario_tell("files", "%d", files);
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
