// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers that several rings have as one (IORING_REGISTER_CLONE_BUFFERS): a whole table, single ones in
// other slots, one twice in a ring, one whose memory is unmapped, so that only the rings tell that they share it, and a
// whole table in which a buffer has been replaced since, and another taken out.
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define BUFFERS 4
#define SIZE    8192
#define GONE    1 /* the buffer whose memory is unmapped */
#define TAGGED  2
#define OTHER   0 /* in the table that was changed */
#define NONE    3

enum {
	CLONE_BUFFERS = 30,
	DST_REPLACE = 2,
};

struct clone_arguments {
	unsigned source, flags, source_slot, slot, count, reserved[3];
};

static struct io_uring source, whole, parts, changed;
static char *memory[BUFFERS], *other;
static int pipe_fds[2];

static void clone_into(struct io_uring *ring, struct clone_arguments arguments)
{
	long result;

	result = syscall(SYS_io_uring_register, ring->ring_fd, CLONE_BUFFERS, &arguments, 1);
	if (result && (errno == EINVAL || (errno == EBUSY && arguments.flags & DST_REPLACE)))
		scenario_skip("this kernel cannot clone single buffers (Linux 6.13)");
	SCENARIO_REQUIRE(!result, "clone buffers: %m");
}

static void make_all(unsigned flags)
{
	struct iovec iov[BUFFERS];
	unsigned long long tags[BUFFERS] = {[TAGGED] = 99};

	for (int i = 0; i < BUFFERS; i++) {
		memory[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		SCENARIO_REQUIRE(memory[i] != MAP_FAILED, "%m");
		iov[i] = (struct iovec){memory[i], SIZE};
	}
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &parts, flags), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &whole, flags), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &source, flags), "%m");
	SCENARIO_REQUIRE(!io_uring_register_buffers_tags(&source, iov, tags, BUFFERS), "register buffers");
	clone_into(&whole, (struct clone_arguments){.source = (unsigned)source.ring_fd});
	SCENARIO_REQUIRE(!io_uring_register_buffers(&parts, iov, 1), "register a buffer of its own");
	clone_into(&parts, (struct clone_arguments){.source = (unsigned)source.ring_fd,
						    .flags = DST_REPLACE,
						    .source_slot = GONE,
						    .slot = 2,
						    .count = 2});
	clone_into(&parts, (struct clone_arguments){.source = (unsigned)parts.ring_fd,
						    .flags = DST_REPLACE,
						    .source_slot = 0,
						    .slot = 5,
						    .count = 1});
	SCENARIO_REQUIRE(!munmap(memory[GONE], SIZE), "%m");
}

/* As Linux 6.12 could do it, too. */
static void make_changed(unsigned flags)
{
	unsigned long long tag = 0;
	struct iovec none = {};
	struct iovec buffer = {.iov_len = SIZE};

	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(other != MAP_FAILED, "%m");
	buffer.iov_base = other;
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &changed, flags), "%m");
	clone_into(&changed, (struct clone_arguments){.source = (unsigned)source.ring_fd});
	SCENARIO_REQUIRE(io_uring_register_buffers_update_tag(&changed, OTHER, &buffer, &tag, 1) == 1, "update");
	SCENARIO_REQUIRE(io_uring_register_buffers_update_tag(&changed, NONE, &none, &tag, 1) == 1, "update");
}

static void move_byte(struct io_uring *ring, int slot, char *at, char *byte, int store)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	if (store) {
		SCENARIO_REQUIRE(write(pipe_fds[1], byte, 1) == 1, "%m");
		io_uring_prep_read_fixed(sqe, pipe_fds[0], at, 1, 0, slot);
	} else {
		io_uring_prep_write_fixed(sqe, pipe_fds[1], at, 1, 0, slot);
	}
	sqe->user_data = 7;
	ring_submit(ring, 1);
	SCENARIO_CHECK(ring_expect(ring, 7, "fixed") == 1, "slot %d", slot);
	if (!store)
		SCENARIO_REQUIRE(read(pipe_fds[0], byte, 1) == 1, "%m");
}

/* What one ring reads into a buffer is what the other writes from it. */
static void check_shared(struct io_uring *to, int slot, struct io_uring *from, int other, char *at, char byte)
{
	char found = 0;

	move_byte(to, slot, at, &byte, 1);
	move_byte(from, other, at, &found, 0);
	SCENARIO_CHECK(found == byte, "slots %d and %d: '%c' in place of '%c'", slot, other, found, byte);
}

static void check_empty(struct io_uring *ring, int slot, char *at)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_write_fixed(sqe, pipe_fds[1], at, 1, 0, slot);
	sqe->user_data = 8;
	ring_submit(ring, 1);
	SCENARIO_CHECK(ring_expect(ring, 8, "empty") == -EFAULT, "slot %d is not empty", slot);
}

static void check(int round)
{
	char letter = (char)('a' + round % 20), last = (char)('a' + (round - 1) % 20), found = 0;

	if (round > 1) {
		move_byte(&source, GONE, memory[GONE] + 5000, &found, 0);
		SCENARIO_CHECK(found == last, "the unmapped buffer has '%c'", found);
	}
	for (int slot = 0; slot < BUFFERS; slot++)
		check_shared(&source, slot, &whole, slot, memory[slot] + 4096, letter);
	check_shared(&whole, GONE, &parts, 2, memory[GONE] + 1, letter);
	check_shared(&parts, 2, &source, GONE, memory[GONE] + 5000, letter);
	check_shared(&parts, 3, &source, TAGGED, memory[TAGGED], letter);
	check_shared(&changed, GONE, &source, GONE, memory[GONE] + 77, letter);
	check_shared(&changed, TAGGED, &source, TAGGED, memory[TAGGED] + 77, letter);
	move_byte(&changed, OTHER, other + 9, &letter, 1);
	SCENARIO_CHECK(other[9] == letter, "the program sees '%c'", other[9]);
	check_empty(&changed, NONE, memory[NONE]);
	check_shared(&parts, 5, &parts, 0, memory[0] + 9, letter);
	SCENARIO_CHECK(memory[0][9] == letter, "the program sees '%c'", memory[0][9]);
}

int main(int argc, char **argv)
{
	int issuer = argc > 1 && !strcmp(argv[1], "issuer");
	unsigned flags;

	scenario_init();
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	flags = issuer ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
	make_all(flags);
	make_changed(flags);
	scenario_tell("source", "%d", source.ring_fd);
	scenario_tell("whole", "%d", whole.ring_fd);
	scenario_tell("parts", "%d", parts.ring_fd);
	return scenario_main(check);
}
