// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files that only slots of a ring hold: memfds (small, with holes, empty, sealed), a deleted file on tmpfs, and both
// ends of a pipe and of a socket pair. What is in them is checked through the slots, and changed.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define LARGE (3UL << 20)

enum {
	SMALL,
	HOLES, /* 3 MiB and some bytes, of which three pieces are there */
	EMPTY,
	SEALED,
	DELETED,
	PIPE_READER,
	PIPE_WRITER,
	SOCKET,
	PEER,
	SLOTS,
};

static struct io_uring ring;
static const unsigned long holes[] = {0, 1234567, LARGE - 3};

static int transfer(int slot, void *data, unsigned size, unsigned long offset, int write)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	if (write)
		io_uring_prep_write(sqe, slot, data, size, offset);
	else
		io_uring_prep_read(sqe, slot, data, size, offset);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = (unsigned)slot;
	ring_submit(&ring, 1);
	return ring_expect(&ring, (unsigned)slot, write ? "write" : "read");
}

static void put_text(int slot, const char *text, unsigned long offset)
{
	int size = (int)strlen(text);

	SCENARIO_CHECK(transfer(slot, (void *)text, (unsigned)size, offset, 1) == size, "slot %d", slot);
}

static void expect_text(int slot, const char *text, unsigned long offset)
{
	char found[64] = {};
	int size = (int)strlen(text);

	SCENARIO_CHECK(transfer(slot, found, (unsigned)size, offset, 0) == size, "slot %d", slot);
	SCENARIO_CHECK(!strcmp(found, text), "slot %d at %lu has '%s' in place of '%s'", slot, offset, found, text);
}

static int make_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	SCENARIO_REQUIRE(fd >= 0, "%m");
	return fd;
}

static int make_deleted(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/dev/shm/uring_hidden.%d", getpid());
	fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	SCENARIO_REQUIRE(fd >= 0 && !unlink(name), "%m");
	return fd;
}

static void make_files(int *files)
{
	for (int i = SMALL; i <= SEALED; i++)
		files[i] = make_memfd(i == SMALL ? "small" : "other");
	SCENARIO_REQUIRE(!ftruncate(files[HOLES], LARGE + 5), "%m");
	SCENARIO_REQUIRE(pwrite(files[SEALED], "sealed", 6, 0) == 6, "%m");
	SCENARIO_REQUIRE(!fcntl(files[SEALED], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), "%m");
	files[DELETED] = make_deleted();
	SCENARIO_REQUIRE(!pipe(files + PIPE_READER), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, files + SOCKET), "%m");
}

static void text_of(int round, char *text)
{
	snprintf(text, 16, "round %04u", (unsigned)round % 10000);
}

static void write_all(int round)
{
	char text[16];

	text_of(round, text);
	put_text(SMALL, text, 100);
	for (unsigned i = 0; i < sizeof(holes) / sizeof(*holes); i++)
		put_text(HOLES, i == 2 ? text + 2 : text, holes[i]);
	put_text(DELETED, text, 5000);
}

static void check(int round)
{
	char text[16], zeros[8] = {}, found[8];

	text_of(round - 1, text);
	expect_text(SMALL, text, 100);
	for (unsigned i = 0; i < sizeof(holes) / sizeof(*holes); i++)
		expect_text(HOLES, i == 2 ? text + 2 : text, holes[i]);
	SCENARIO_CHECK(transfer(HOLES, found, 8, 2000000, 0) == 8 && !memcmp(found, zeros, 8), "a hole");
	SCENARIO_CHECK(transfer(HOLES, found, 8, LARGE + 5, 0) == 0, "it has grown");
	SCENARIO_CHECK(transfer(EMPTY, found, 8, 0, 0) == 0, "it is not empty");
	expect_text(SEALED, "sealed", 0);
	SCENARIO_CHECK(transfer(SEALED, found, 1, 0, 1) == -EPERM, "the seal is gone");
	expect_text(DELETED, text, 5000);
	put_text(PIPE_WRITER, text, -1UL);
	expect_text(PIPE_READER, text, -1UL);
	put_text(PEER, text, -1UL);
	expect_text(SOCKET, text, -1UL);
	write_all(round);
}

int main(void)
{
	int files[SLOTS];

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	make_files(files);
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, files, SLOTS), "register files");
	for (int i = 0; i < SLOTS; i++)
		close(files[i]);
	write_all(0);
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
