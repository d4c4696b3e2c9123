// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Buffered writes to one regular file, of which io-wq executes one at a time: the first stands still in the middle of
// its work, because a page of its data is behind a userfaultfd, and the others queue up behind its worker.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define WRITES 5
#define SIZE   4096

static struct io_uring ring;
static char *page;
static char others[WRITES][SIZE];
static int file, uffd;

static void open_userfaultfd(void)
{
	struct uffdio_api api = {.api = UFFD_API};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0)
		scenario_skip("no userfaultfd: %m");
	SCENARIO_REQUIRE(!ioctl(uffd, UFFDIO_API, &api), "%m");
}

/* A page that is not there until supply_page(). */
static void take_page(void)
{
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(page != MAP_FAILED, "%m");
	range.range.start = (unsigned long)page;
	range.range.len = SIZE;
	SCENARIO_REQUIRE(!ioctl(uffd, UFFDIO_REGISTER, &range), "%m");
}

static void supply_page(void)
{
	struct uffdio_copy copy = {.dst = (unsigned long)page, .src = (unsigned long)others[0], .len = SIZE};

	SCENARIO_REQUIRE(!ioctl(uffd, UFFDIO_COPY, &copy), "%m");
}

static bool is_blocked(void)
{
	struct uffd_msg message;

	return read(uffd, &message, sizeof(message)) == sizeof(message) && message.event == UFFD_EVENT_PAGEFAULT;
}

static void submit_writes(void)
{
	take_page();
	for (int i = 0; i < WRITES; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		memset(others[i], 'a' + i, SIZE);
		io_uring_prep_write(sqe, file, i ? others[i] : page, SIZE, (long)i * SIZE);
		/* No IOSQE_ASYNC: works whose file is not known yet are not put one behind the other (v6.18). */
		sqe->user_data = 100 + i;
	}
	ring_submit(&ring, WRITES);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(is_blocked(), 10), "the first write does not reach its page");
}

static void check(int round)
{
	char bytes[SIZE];
	bool seen[WRITES] = {};

	supply_page();
	for (int i = 0; i < WRITES; i++) {
		struct io_uring_cqe *cqe = NULL;
		struct __kernel_timespec limit = {.tv_sec = 10};
		unsigned which;

		SCENARIO_REQUIRE(!io_uring_wait_cqe_timeout(&ring, &cqe, &limit), "round %d: write %d is lost", round,
				 i);
		which = cqe->user_data - 100;
		SCENARIO_CHECK(which < WRITES && !seen[which] && cqe->res == SIZE, "completion of %u: %d", which,
			       cqe->res);
		seen[which % WRITES] = true;
		io_uring_cqe_seen(&ring, cqe);
	}
	ring_expect_nothing(&ring, "all written");
	SCENARIO_REQUIRE(!munmap(page, SIZE), "%m");
	for (int i = 0; i < WRITES; i++) {
		SCENARIO_REQUIRE(pread(file, bytes, SIZE, (long)i * SIZE) == SIZE, "%m");
		SCENARIO_CHECK(!memcmp(bytes, others[i], SIZE), "block %d", i);
	}
	SCENARIO_REQUIRE(!ftruncate(file, 0), "%m");
	submit_writes();
}

int main(void)
{
	scenario_init();
	file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	SCENARIO_REQUIRE(file >= 0, "%m");
	open_userfaultfd();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	submit_writes();
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
