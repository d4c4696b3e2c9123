// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring that may do little: reads of fixed files, and nothing else; its eventfd is told. "disabled": it has files, and
// restrictions, and is enabled only in the first round after a restore, by the thread that then alone may submit.
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

static struct io_uring ring;
static int event;
static bool disabled;

static int submit(struct io_uring_sqe *sqe, const char *what)
{
	sqe->user_data = 7;
	ring_submit(&ring, 1);
	return ring_expect(&ring, 7, what);
}

static void use_ring(int round)
{
	struct io_uring_sqe *sqe;
	char text[16] = "";
	eventfd_t count = 0;

	sqe = ring_sqe(&ring);
	io_uring_prep_read(sqe, 0, text, sizeof(text), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	SCENARIO_CHECK(submit(sqe, "read") == 5 && !strcmp(text, "hello"), "round %d: %s", round, text);
	SCENARIO_CHECK(!eventfd_read(event, &count) && count == 1, "eventfd says %llu", (unsigned long long)count);
	sqe = ring_sqe(&ring);
	io_uring_prep_nop(sqe);
	SCENARIO_CHECK(submit(sqe, "nop") == -EACCES, "round %d: a NOP is allowed", round);
	sqe = ring_sqe(&ring);
	io_uring_prep_read(sqe, event, text, sizeof(text), 0);
	SCENARIO_CHECK(submit(sqe, "read without fixed file") == -EACCES, "round %d: any file is allowed", round);
	SCENARIO_CHECK(io_uring_register_personality(&ring) == -EACCES, "round %d: anything may be registered", round);
	SCENARIO_CHECK(!eventfd_read(event, &count), "%m");
	ring_expect_nothing(&ring, "at the end");
}

static void check(int round)
{
	if (disabled) {
		SCENARIO_CHECK(io_uring_enter(ring.ring_fd, 0, 0, 0, NULL) == -EBADFD, "it is enabled");
		if (round < 3)
			return;
		SCENARIO_CHECK(!io_uring_register(ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), "enable");
		disabled = false;
	}
	use_ring(round);
}

static void restrict_ring(void)
{
	struct io_uring_restriction list[3] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
		{.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES_UPDATE},
	};

	SCENARIO_REQUIRE(!io_uring_register(ring.ring_fd, IORING_REGISTER_RESTRICTIONS, list, 3), "restrictions");
}

int main(int argc, char **argv)
{
	unsigned flags = IORING_SETUP_R_DISABLED;
	int file;

	scenario_init();
	disabled = argc > 1 && !strcmp(argv[1], "disabled");
	if (disabled)
		flags |= IORING_SETUP_SINGLE_ISSUER;
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, flags), "%m");
	file = open("f", O_RDWR | O_CREAT, 0600);
	SCENARIO_REQUIRE(write(file, "hello", 5) == 5, "%m");
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, &file, 1), "files");
	close(file);
	event = eventfd(0, EFD_NONBLOCK);
	SCENARIO_REQUIRE(!io_uring_register_eventfd(&ring, event), "eventfd");
	restrict_ring();
	if (!disabled) {
		SCENARIO_REQUIRE(!io_uring_register(ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), "enable");
		use_ring(0);
	}
	return scenario_main(check);
}
