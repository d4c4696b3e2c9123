// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What is registered with an idle ring and works as before: a thousand files whose descriptors are closed, with tags
// and free slots between them; buffers; the credentials of another user; an eventfd that is told of completions.
// argv[1]: setup flags.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define FILES            1000
#define SLOTS            1500
#define RANGE            1400 /* slots for the kernel to choose from begin here */
#define TAGGED           7
#define KEPT             20 /* its descriptor stays open */
#define BUFFERS          3
#define NOBODY           65534
#define LAST_PERSONALITY 5

static struct io_uring ring;
static char *memory;
static int event, kept;
static unsigned long long round_tag = 5000;

/* Every third slot from 0 on is empty. */
static unsigned slot_of(unsigned file)
{
	return file / 2 * 3 + 1 + file % 2;
}

static int new_file(unsigned number)
{
	char name[32], text[32];
	int length = snprintf(text, sizeof(text), "file %u", number);
	int fd;

	snprintf(name, sizeof(name), "f%u", number);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	SCENARIO_REQUIRE(fd >= 0 && pwrite(fd, text, (size_t)length, 0) == length, "%s: %m", name);
	return fd;
}

static void register_files(void)
{
	static int fds[SLOTS];
	static __u64 tags[SLOTS];

	for (int i = 0; i < SLOTS; i++)
		fds[i] = -1;
	for (unsigned i = 0; i < FILES; i++)
		fds[slot_of(i) % SLOTS] = new_file(i);
	tags[slot_of(TAGGED)] = round_tag;
	SCENARIO_REQUIRE(!io_uring_register_files_tags(&ring, fds, tags, SLOTS), "register files");
	SCENARIO_REQUIRE(!io_uring_register_file_alloc_range(&ring, RANGE, SLOTS - RANGE), "range");
	kept = dup(fds[slot_of(KEPT)]);
	for (int i = 0; i < SLOTS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void register_buffers(void)
{
	__u64 tags[BUFFERS] = {0};
	struct iovec iov[BUFFERS] = {};

	memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	iov[0] = (struct iovec){memory + 100, 9000};
	iov[2] = (struct iovec){memory + 32768, 4096};
	SCENARIO_REQUIRE(!io_uring_register_buffers_tags(&ring, iov, tags, BUFFERS), "register buffers");
}

/* IDs 1, 3 and 5, each of another user, so that 6 is the next. */
static void register_personalities(void)
{
	for (int id = 1; id <= LAST_PERSONALITY; id++) {
		SCENARIO_REQUIRE(!seteuid(id == 1 ? 0 : (uid_t)(NOBODY - id)), "%m");
		SCENARIO_REQUIRE(io_uring_register_personality(&ring) == id, "personality %d", id);
		SCENARIO_REQUIRE(!seteuid(0), "%m");
	}
	SCENARIO_REQUIRE(!io_uring_unregister_personality(&ring, 2) && !io_uring_unregister_personality(&ring, 4),
			 "unregister");
}

static int complete(struct io_uring_sqe *sqe, const char *what)
{
	struct pollfd told = {.fd = event, .events = POLLIN};
	eventfd_t count = 0;
	int result;

	sqe->user_data = 99;
	ring_submit(&ring, 1);
	result = ring_expect(&ring, 99, what);
	/* A deferred completion is told of twice: when it is queued and when it is posted; one of a worker a moment
	 * later than it is posted. */
	SCENARIO_CHECK(poll(&told, 1, 5000) == 1 && !eventfd_read(event, &count) && count >= 1 && count <= 2,
		       "%s: eventfd says %llu", what, (unsigned long long)count);
	return result;
}

static void check_file(unsigned number, int round)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	char text[32], *buffer = memory + 100;
	int length = snprintf(text, sizeof(text), "file %u", number);
	int got;

	memset(buffer, 0, 32);
	io_uring_prep_read_fixed(sqe, (int)slot_of(number), buffer, 32, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	got = complete(sqe, "read");
	SCENARIO_CHECK(got == length && !memcmp(buffer, text, (size_t)length), "round %d: file %u: %d, %s", round,
		       number, got, buffer);
}

/* The slot and a descriptor are one open file: they have one position. */
static void check_position(int round)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	char text[8] = "";

	SCENARIO_CHECK(lseek(kept, 3, SEEK_SET) == 3, "%m");
	io_uring_prep_read(sqe, (int)slot_of(KEPT), text, 4, (__u64)-1);
	sqe->flags |= IOSQE_FIXED_FILE;
	SCENARIO_CHECK(complete(sqe, "read at the position") == 4 && !strcmp(text, "e 20"), "round %d: %s", round,
		       text);
	SCENARIO_CHECK(lseek(kept, 0, SEEK_CUR) == 7, "round %d: two files", round);
}

static void check_write(int round)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	char text[32] = "", *buffer = memory + 32768;
	int fd, length = sprintf(buffer, "written in round %d", round);

	io_uring_prep_write_fixed(sqe, (int)slot_of(11), buffer, (unsigned)length, 100, 2);
	sqe->flags |= IOSQE_FIXED_FILE;
	SCENARIO_CHECK(complete(sqe, "write") == length, "short");
	fd = open("f11", O_RDONLY);
	SCENARIO_CHECK(pread(fd, text, sizeof(text) - 1, 100) == length && !strcmp(text, buffer), "%s", text);
	close(fd);
}

/* A private file opened as root, and as somebody else. */
static void check_personality(int id, int expected)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int result;

	io_uring_prep_openat(sqe, AT_FDCWD, "f0", O_RDONLY, 0);
	sqe->personality = (__u16)id;
	result = complete(sqe, "openat");
	SCENARIO_CHECK(expected ? result == expected : result >= 0, "personality %d: %d", id, result);
	if (result >= 0)
		close(result);
}

/* The tag of a file comes when its slot is emptied. */
static void check_tag(void)
{
	int none = -1, fd = open("f7", O_RDWR);
	unsigned slot = slot_of(TAGGED);
	eventfd_t count;

	SCENARIO_CHECK(io_uring_register_files_update(&ring, slot, &none, 1) == 1, "update");
	SCENARIO_CHECK(!ring_expect(&ring, round_tag, "tag"), "tag");
	round_tag++;
	SCENARIO_CHECK(io_uring_register_files_update_tag(&ring, slot, &fd, &round_tag, 1) == 1, "update with tag");
	eventfd_read(event, &count);
	close(fd);
}

/* The kernel goes on giving out the slots of the range one by one; now and then they are emptied. */
static void check_allocation(int round)
{
	static int taken[16];
	static unsigned count;
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int slot, none = -1;

	io_uring_prep_openat(sqe, AT_FDCWD, "f0", O_RDONLY, 0);
	sqe->file_index = IORING_FILE_INDEX_ALLOC;
	slot = complete(sqe, "openat into a slot");
	SCENARIO_CHECK(slot >= RANGE && slot < SLOTS, "round %d: slot %d", round, slot);
	taken[count++] = slot;
	if (count < sizeof(taken) / sizeof(taken[0]))
		return;
	while (count > 0)
		SCENARIO_CHECK(io_uring_register_files_update(&ring, (unsigned)taken[--count], &none, 1) == 1,
			       "update");
}

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void check(int round)
{
	static int fds;

	if (!fds)
		fds = open_fds();
	SCENARIO_CHECK(open_fds() == fds, "round %d: %d descriptors, there were %d", round, open_fds(), fds);
	for (unsigned file = 0; file < FILES; file += 37)
		check_file(file, round);
	check_file(FILES - 1, round);
	check_position(round);
	check_write(round);
	check_personality(1, 0);
	check_personality(3, -EACCES);
	check_personality(LAST_PERSONALITY, -EACCES);
	check_personality(2, -EINVAL);
	check_tag();
	check_allocation(round);
	SCENARIO_CHECK(io_uring_register_personality(&ring) == LAST_PERSONALITY + round, "next personality");
	io_uring_unregister_personality(&ring, LAST_PERSONALITY + round);
	ring_expect_nothing(&ring, "at the end");
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 0), "%m");
	register_files();
	register_buffers();
	register_personalities();
	event = eventfd(0, EFD_NONBLOCK);
	SCENARIO_REQUIRE(!io_uring_register_eventfd(&ring, event), "register eventfd");
	return scenario_main(check);
}
