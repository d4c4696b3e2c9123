// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring with N fixed files that have no descriptor, N/10 registered buffers, and a poll armed on each file; "idle": no
// buffers and no polls, and the first round writes to one of the files; "rings": N rings instead, with a poll in each.
#include "selftests/scenarios/scenario.h"

#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static struct io_uring ring;
static unsigned count;
static int last_fd;

static void fill_slot(unsigned slot)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	int error = io_uring_register_files_update(&ring, slot, &fd, 1);

	SCENARIO_REQUIRE(fd >= 0 && error == 1, "slot %u: %s", slot, strerror(-error));
	if (slot == count - 1)
		last_fd = fd;
	else
		close(fd);
}

static void register_buffers(unsigned buffers)
{
	const size_t size = 4096;
	char *memory = mmap(NULL, buffers * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec *iov = calloc(buffers, sizeof(*iov));

	SCENARIO_REQUIRE(memory != MAP_FAILED && iov, "no memory");
	for (unsigned i = 0; i < buffers; i++)
		iov[i] = (struct iovec){memory + i * size, size};
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, iov, buffers), "register buffers");
	free(iov);
}

static void arm_poll(unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	SCENARIO_REQUIRE(sqe, "no SQE for slot %u", slot);
	io_uring_prep_poll_add(sqe, (int)slot, POLLIN);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = slot + 1;
}

// An eventfd that only its slot holds counts on.
static void check_idle(int round)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct __kernel_timespec second = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	eventfd_t value = 1;

	SCENARIO_REQUIRE(sqe, "round %d: no SQE", round);
	io_uring_prep_write(sqe, (int)(count / 2), &value, sizeof(value), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	SCENARIO_REQUIRE(io_uring_submit(&ring) == 1 && !io_uring_wait_cqe_timeout(&ring, &cqe, &second),
			 "round %d: no completion", round);
	SCENARIO_CHECK(cqe->res == sizeof(value), "%d", cqe->res);
	io_uring_cqe_seen(&ring, cqe);
}

// The poll of the last slot fires, the others do not.
static void check(int round)
{
	struct __kernel_timespec second = {.tv_sec = 5};
	struct io_uring_cqe *cqe;
	eventfd_t value;
	int error;

	eventfd_write(last_fd, 1);
	error = io_uring_wait_cqe_timeout(&ring, &cqe, &second);
	SCENARIO_REQUIRE(!error, "round %d: %s", round, strerror(-error));
	SCENARIO_CHECK(cqe->user_data == count && cqe->res == POLLIN, "%llu completed with %d", cqe->user_data,
		       cqe->res);
	io_uring_cqe_seen(&ring, cqe);
	SCENARIO_CHECK(io_uring_peek_cqe(&ring, &cqe) == -EAGAIN, "one too many");
	eventfd_read(last_fd, &value);
	arm_poll(count - 1);
	io_uring_submit(&ring);
}

static struct io_uring *rings;

static void check_rings(int round)
{
	struct io_uring_cqe *cqe;

	for (unsigned i = 0; i < count; i++)
		SCENARIO_CHECK(io_uring_peek_cqe(&rings[i], &cqe) == -EAGAIN, "round %d: ring %u has told", round, i);
}

static int run_rings(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	rings = calloc(count, sizeof(*rings));
	SCENARIO_REQUIRE(rings && fd >= 0, "%m");
	for (unsigned i = 0; i < count; i++) {
		int error = io_uring_queue_init(16, &rings[i], 0);
		struct io_uring_sqe *sqe = error ? NULL : io_uring_get_sqe(&rings[i]);

		SCENARIO_REQUIRE(sqe, "ring %u: %s", i, strerror(-error));
		io_uring_prep_poll_add(sqe, fd, POLLIN);
		io_uring_submit(&rings[i]);
	}
	return scenario_main(check_rings);
}

int main(int argc, char **argv)
{
	int error;

	scenario_init();
	SCENARIO_REQUIRE(argc >= 2, "usage: bench_ring N [idle|rings]");
	count = (unsigned)atoi(argv[1]);
	if (argc > 2 && !strcmp(argv[2], "rings"))
		return run_rings();
	error = io_uring_queue_init(1024, &ring, 0);
	if (!error)
		error = io_uring_register_files_sparse(&ring, count);
	SCENARIO_REQUIRE(!error, "%s", strerror(-error));
	for (unsigned slot = 0; slot < count; slot++)
		fill_slot(slot);
	if (argc > 2)
		return scenario_main(check_idle);
	register_buffers(count / 10);
	for (unsigned slot = 0; slot < count; slot++)
		arm_poll(slot);
	io_uring_submit(&ring);
	return scenario_main(check);
}
