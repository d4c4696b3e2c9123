// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers whose pages are no longer those at their addresses, each in its own way. What the ring has of a
// buffer is checked by a fixed write, changed by a fixed read, and, where the program sees the same pages somewhere,
// must be the same there, both ways. Argument "punched": where the kernel has such a buffer no more once it is gone
// from its file, it is one all the same.
#include <sys/mman.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define PAGE  4096
#define PAGES 4
#define SIZE  (PAGES * PAGE)

enum {
	KEPT,
	DISCARDED,     /* MADV_DONTNEED, and written anew */
	UNMAPPED,      /* nothing there any more */
	UNMAPPED_TOO,  /* the same pages, in another slot */
	REPLACED,      /* unmapped, and something else is there */
	REPLACED_KEPT, /* what is there now, registered, too */
	MOVED,         /* mremap(2) to another address */
	READ_ONLY,     /* mprotect(2) */
	NO_ACCESS,
	SHARED_GONE,  /* shared anonymous memory that nobody has mapped any more */
	SHARED_MOVED, /* a memfd that is mapped elsewhere */
	SHARED_OPEN,  /* a memfd that is only open */
	PUNCHED,      /* a memfd that is mapped there, without the page that was there */
	PARTLY,       /* the second page was discarded */
	SLID,         /* moved by one page, over itself */
	UNALIGNED,    /* begins and ends within pages, and is discarded */
	BUFFERS,
};

static struct io_uring ring;
static struct iovec buffers[BUFFERS];
static char *seen[BUFFERS][PAGES]; /* where the program sees the pages; NULL: it does not */
static int pipe_fds[2], memfds[BUFFERS];

static char *map_at(void *address, size_t size, int flags, int fd)
{
	char *got = mmap(address, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	SCENARIO_REQUIRE(got != MAP_FAILED, "%m");
	return got;
}

static char *map_fresh(void)
{
	/* A page before and behind it that is never there: no neighbours. */
	char *area = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	SCENARIO_REQUIRE(area != MAP_FAILED, "%m");
	munmap(area, SIZE + 2 * PAGE);
	return map_at(area + PAGE, SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
}

static void see(int buffer, char *address)
{
	for (int page = 0; page < PAGES; page++)
		seen[buffer][page] = address ? address + page * PAGE : NULL;
}

static void make_memory(int buffer)
{
	char *address = map_fresh();

	memfds[buffer] = -1;
	if (buffer == SHARED_GONE)
		map_at(address, SIZE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1);
	if (buffer == SHARED_MOVED || buffer == SHARED_OPEN || buffer == PUNCHED) {
		memfds[buffer] = memfd_create("pinned", MFD_CLOEXEC);
		SCENARIO_REQUIRE(memfds[buffer] >= 0 && !ftruncate(memfds[buffer], SIZE), "%m");
		map_at(address, SIZE, MAP_SHARED | MAP_FIXED, memfds[buffer]);
	}
	memset(address, '?', SIZE);
	buffers[buffer] = (struct iovec){address, SIZE};
	see(buffer, address);
}

static void register_slot(int slot)
{
	unsigned long long tag = 0;

	SCENARIO_REQUIRE(io_uring_register_buffers_update_tag(&ring, (unsigned)slot, &buffers[slot], &tag, 1) == 1,
			 "register buffer %d", slot);
}

static void make_all(void)
{
	SCENARIO_REQUIRE(!io_uring_register_buffers_sparse(&ring, BUFFERS), "sparse table");
	for (int buffer = 0; buffer < BUFFERS; buffer++) {
		if (buffer == UNMAPPED_TOO || buffer == REPLACED_KEPT)
			continue;
		make_memory(buffer);
		if (buffer == UNALIGNED)
			buffers[buffer] = (struct iovec){(char *)buffers[buffer].iov_base + 100, SIZE - 300};
		register_slot(buffer);
	}
	buffers[UNMAPPED_TOO] = buffers[UNMAPPED];
	register_slot(UNMAPPED_TOO);
}

static void *address_of(int buffer)
{
	return buffers[buffer].iov_base;
}

static void discard(int buffer, char *address, size_t size)
{
	SCENARIO_REQUIRE(!madvise(address, size, MADV_DONTNEED), "buffer %d: %m", buffer);
	memset(address, '!', size);
}

static void move(int buffer, char *to)
{
	SCENARIO_REQUIRE(mremap(address_of(buffer), SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "%m");
	see(buffer, to);
}

/* Of mappings of a file and of none. */
static bool takes_buffers_across_files(void)
{
	struct io_uring own;
	char *area = map_at(NULL, 2 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int file = memfd_create("across", MFD_CLOEXEC), err;

	SCENARIO_REQUIRE(file >= 0 && !ftruncate(file, PAGE), "%m");
	map_at(area, PAGE, MAP_SHARED | MAP_FIXED, file);
	SCENARIO_REQUIRE(!io_uring_queue_init(1, &own, 0), "%m");
	err = io_uring_register_buffers(&own, &(struct iovec){area, 2 * PAGE}, 1);
	SCENARIO_REQUIRE(!err || err == -EINVAL, "%d", err);
	io_uring_queue_exit(&own);
	munmap(area, 2 * PAGE);
	close(file);
	return !err;
}

static void punch(void)
{
	SCENARIO_REQUIRE(!fallocate(memfds[PUNCHED], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE), "%m");
	seen[PUNCHED][1] = NULL;
}

static void change_all(bool punched)
{
	char *other;

	discard(DISCARDED, address_of(DISCARDED), SIZE);
	see(DISCARDED, NULL);
	for (int buffer = UNMAPPED; buffer <= REPLACED; buffer++) {
		munmap(address_of(buffer), SIZE);
		see(buffer, NULL);
	}
	map_at(address_of(REPLACED), SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	buffers[REPLACED_KEPT] = buffers[REPLACED];
	register_slot(REPLACED_KEPT);
	see(REPLACED_KEPT, address_of(REPLACED));
	move(MOVED, map_fresh());
	SCENARIO_REQUIRE(!mprotect(address_of(READ_ONLY), SIZE, PROT_READ), "%m");
	SCENARIO_REQUIRE(!mprotect(address_of(NO_ACCESS), SIZE, PROT_NONE), "%m");
	see(NO_ACCESS, NULL);
	munmap(address_of(SHARED_GONE), SIZE);
	see(SHARED_GONE, NULL);
	munmap(address_of(SHARED_MOVED), SIZE);
	see(SHARED_MOVED, map_at(NULL, SIZE, MAP_SHARED, memfds[SHARED_MOVED]));
	close(memfds[SHARED_MOVED]);
	munmap(address_of(SHARED_OPEN), SIZE);
	see(SHARED_OPEN, NULL);
	if (punched)
		punch();
	discard(PARTLY, (char *)address_of(PARTLY) + PAGE, PAGE);
	seen[PARTLY][1] = NULL;
	/* Over itself in two steps: mremap(2) takes no ranges that overlap. */
	other = map_fresh();
	move(SLID, other);
	SCENARIO_REQUIRE(mremap(other, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)address_of(SLID) + PAGE) !=
				 MAP_FAILED,
			 "%m");
	see(SLID, (char *)address_of(SLID) + PAGE);
	discard(UNALIGNED, (char *)((unsigned long)address_of(UNALIGNED) & ~(PAGE - 1UL)), SIZE);
	see(UNALIGNED, NULL);
}

static char letter(int buffer, int page, int round)
{
	if (buffer == UNMAPPED_TOO)
		buffer = UNMAPPED;
	return (char)('A' + (buffer * PAGES + page + round * 7) % 50);
}

/* A byte of each page, first through the ring. */
static void through_ring(int buffer, int page, char *byte, int store)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	char *at = (char *)buffers[buffer].iov_base + page * PAGE;

	if (store) {
		SCENARIO_REQUIRE(write(pipe_fds[1], byte, 1) == 1, "%m");
		io_uring_prep_read_fixed(sqe, pipe_fds[0], at, 1, 0, buffer);
	} else {
		io_uring_prep_write_fixed(sqe, pipe_fds[1], at, 1, 0, buffer);
	}
	sqe->user_data = (unsigned)buffer;
	ring_submit(&ring, 1);
	SCENARIO_CHECK(ring_expect(&ring, (unsigned)buffer, "fixed") == 1, "buffer %d page %d", buffer, page);
	if (!store)
		SCENARIO_REQUIRE(read(pipe_fds[0], byte, 1) == 1, "%m");
}

static void check_page(int buffer, int page, int round)
{
	char wanted = letter(buffer, page, round - 1), found = 0, mark = '#';
	char *here = seen[buffer][page];

	through_ring(buffer, page, &found, 0);
	SCENARIO_CHECK(found == wanted, "buffer %d page %d: '%c' in place of '%c'", buffer, page, found, wanted);
	if (!here)
		return;
	SCENARIO_CHECK(*here == wanted, "buffer %d page %d: the program sees '%c'", buffer, page, *here);
	through_ring(buffer, page, &mark, 1);
	SCENARIO_CHECK(*here == mark, "buffer %d page %d: not the page that the program sees", buffer, page);
	if (buffer == READ_ONLY)
		return;
	*here = '+';
	through_ring(buffer, page, &found, 0);
	SCENARIO_CHECK(found == '+', "buffer %d page %d: the ring has another page", buffer, page);
}

static void write_all(int round)
{
	for (int buffer = 0; buffer < BUFFERS; buffer++)
		for (int page = 0; page < PAGES; page++) {
			char byte = letter(buffer, page, round);

			if (buffer != UNMAPPED_TOO)
				through_ring(buffer, page, &byte, 1);
		}
}

/* What is at the addresses instead is the program's own, and has its protection. */
static void check_others(void)
{
	for (int page = 0; page < PAGES; page++)
		SCENARIO_CHECK(((char *)address_of(DISCARDED))[page * PAGE] == '!', "what was written anew is lost");
	SCENARIO_CHECK(((char *)address_of(PARTLY))[PAGE] == '!', "what was written anew is lost");
	SCENARIO_CHECK(read(pipe_fds[0], address_of(READ_ONLY), 0) == 0, "%m");
	SCENARIO_CHECK(write(pipe_fds[1], "x", 1) == 1 && read(pipe_fds[0], address_of(READ_ONLY), 1) == -1,
		       "it can be written to");
	SCENARIO_CHECK(read(pipe_fds[0], &(char){0}, 1) == 1, "%m");
	SCENARIO_CHECK(write(pipe_fds[1], address_of(NO_ACCESS), 1) == -1, "it can be read");
}

static void check(int round)
{
	check_others();
	for (int buffer = 0; buffer < BUFFERS; buffer++)
		for (int page = 0; page < PAGES; page++)
			check_page(buffer, page, round);
	write_all(round);
}

int main(int argc, char **argv)
{
	bool punched = argc > 1 && !strcmp(argv[1], "punched"), taken;

	scenario_init();
	taken = takes_buffers_across_files();
	if (punched && taken)
		scenario_skip("this kernel takes buffers across files");
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	make_all();
	change_all(punched || taken);
	write_all(0);
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
