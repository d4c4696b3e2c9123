// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of all kinds in one program, as far as the kernel has them: in each wait a poll, a read from a fixed file into
// a registered buffer, and a timeout; completions lie unread in its queue, and so do texts in a pipe and a socket that
// only slots hold. What other kernels try in one go.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define UNREAD 3
#define COUNT  8 /* of bytes in a read */

enum {
	POLL = 1,
	READ,
	TIMEOUT,
	HIDDEN,
	POSTED = 1000,
};

/* Slots. */
enum {
	FIXED,
	PIPE_READER,
	PIPE_WRITER,
	SOCKET,
	PEER,
	SLOTS,
};

static char hidden_text[] = "hidden";

struct kind {
	const char *name;
	unsigned flags, cq_entries;
	bool present;
	struct io_uring ring;
	int polled[2], fixed[2];
	char *buffer; /* on the heap: 6.1 registers no memory that a file is mapped at */
	unsigned long long posted, seen;
};

static struct kind kinds[] = {
	{.name = "plain"},
	{.name = "large", .flags = IORING_SETUP_CQSIZE, .cq_entries = 256},
	{.name = "issuer", .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG},
	{.name = "defer", .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN},
	{.name = "sqpoll", .flags = IORING_SETUP_SQPOLL},
	{.name = "wide", .flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32},
	{.name = "disabled", .flags = IORING_SETUP_R_DISABLED},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static bool is_enabled(const struct kind *kind)
{
	return !(kind->flags & IORING_SETUP_R_DISABLED);
}

static void post(struct kind *kind)
{
	while (kind->posted - kind->seen < UNREAD) {
		struct io_uring_sqe *sqe = ring_sqe(&kind->ring);

		io_uring_prep_nop(sqe);
		sqe->user_data = POSTED + kind->posted++;
		ring_submit(&kind->ring, 1);
	}
	/* A submission thread has then taken what was submitted before, too. */
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(io_uring_cq_ready(&kind->ring) == UNREAD, 20), "%s: %u posted", kind->name,
		       io_uring_cq_ready(&kind->ring));
}

static void arm_poll(struct kind *kind)
{
	struct io_uring_sqe *sqe = ring_sqe(&kind->ring);

	io_uring_prep_poll_add(sqe, kind->polled[0], POLLIN);
	sqe->user_data = POLL;
	ring_submit(&kind->ring, 1);
}

static void arm_read(struct kind *kind)
{
	struct io_uring_sqe *sqe = ring_sqe(&kind->ring);

	io_uring_prep_read_fixed(sqe, FIXED, kind->buffer, COUNT, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = READ;
	ring_submit(&kind->ring, 1);
}

static void arm_timeout(struct kind *kind)
{
	struct __kernel_timespec never = {.tv_sec = 100000};
	struct io_uring_sqe *sqe = ring_sqe(&kind->ring);

	io_uring_prep_timeout(sqe, &never, 0, 0);
	sqe->user_data = TIMEOUT;
	ring_submit(&kind->ring, 1);
}

static int transfer(struct kind *kind, int slot, char *text, bool write)
{
	struct io_uring_sqe *sqe = ring_sqe(&kind->ring);

	if (write)
		io_uring_prep_write(sqe, slot, text, sizeof(hidden_text), -1);
	else
		io_uring_prep_read(sqe, slot, text, sizeof(hidden_text), -1);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = HIDDEN;
	ring_submit(&kind->ring, 1);
	return ring_expect(&kind->ring, HIDDEN, "hidden");
}

static void use_hidden(struct kind *kind)
{
	for (int reader = PIPE_READER; reader <= SOCKET; reader += SOCKET - PIPE_READER) {
		char text[sizeof(hidden_text)] = {};

		SCENARIO_CHECK(transfer(kind, reader, text, false) == sizeof(text) && !strcmp(text, hidden_text),
			       "%s: slot %d: '%.*s'", kind->name, reader, (int)sizeof(text), text);
		SCENARIO_CHECK(transfer(kind, reader + 1, hidden_text, true) == sizeof(text), "%s: slot %d", kind->name,
			       reader + 1);
	}
}

static void register_files(struct kind *kind)
{
	int files[SLOTS] = {kind->fixed[0]};

	SCENARIO_REQUIRE(!pipe(files + PIPE_READER) && !socketpair(AF_UNIX, SOCK_STREAM, 0, files + SOCKET), "%m");
	SCENARIO_REQUIRE(!io_uring_register_files(&kind->ring, files, SLOTS), "%s: files", kind->name);
	SCENARIO_REQUIRE(write(files[PIPE_WRITER], hidden_text, sizeof(hidden_text)) == sizeof(hidden_text), "%m");
	SCENARIO_REQUIRE(write(files[PEER], hidden_text, sizeof(hidden_text)) == sizeof(hidden_text), "%m");
	for (int i = PIPE_READER; i < SLOTS; i++)
		close(files[i]);
}

static void register_with(struct kind *kind)
{
	struct iovec buffer = {calloc(1, COUNT), COUNT};

	SCENARIO_REQUIRE(buffer.iov_base, "memory");
	kind->buffer = buffer.iov_base;
	register_files(kind);
	SCENARIO_REQUIRE(!io_uring_register_buffers(&kind->ring, &buffer, 1), "%s: buffers", kind->name);
}

/* False if the kernel has no rings of this kind. */
static bool set_up(struct kind *kind)
{
	struct io_uring_params params = {.flags = kind->flags, .cq_entries = kind->cq_entries, .sq_thread_idle = 50};
	int err = io_uring_queue_init_params(16, &kind->ring, &params);

	if (err == -EINVAL)
		return false;
	SCENARIO_REQUIRE(!err, "%s: %s", kind->name, strerror(-err));
	SCENARIO_REQUIRE(!pipe(kind->polled) && !pipe(kind->fixed), "%m");
	register_with(kind);
	if (!is_enabled(kind))
		return true;
	arm_poll(kind);
	arm_read(kind);
	arm_timeout(kind);
	post(kind);
	return true;
}

static void use(struct kind *kind)
{
	if (!is_enabled(kind)) {
		SCENARIO_CHECK(io_uring_enter(kind->ring.ring_fd, 0, 0, 0, NULL) == -EBADFD, "%s: enabled", kind->name);
		return;
	}
	while (kind->seen < kind->posted)
		ring_expect_result(&kind->ring, (int)(POSTED + kind->seen++), 0);
	put(kind->polled[1], "x");
	ring_expect_result(&kind->ring, POLL, POLLIN);
	put(kind->fixed[1], kind->name);
	ring_expect_result(&kind->ring, READ, (int)strlen(kind->name));
	SCENARIO_CHECK(!memcmp(kind->buffer, kind->name, strlen(kind->name)), "%s: %.8s", kind->name, kind->buffer);
	use_hidden(kind);
	ring_expect_nothing(&kind->ring, kind->name);
	take(kind->polled[0]);
	memset(kind->buffer, 0, COUNT);
	arm_poll(kind);
	arm_read(kind);
	post(kind);
}

static void check(int round)
{
	(void)round;
	for (unsigned i = 0; i < KINDS; i++)
		if (kinds[i].present)
			use(&kinds[i]);
}

int main(void)
{
	int count = 0;

	scenario_init();
	for (unsigned i = 0; i < KINDS; i++) {
		kinds[i].present = set_up(&kinds[i]);
		count += kinds[i].present;
	}
	scenario_tell("rings", "%d", count);
	return scenario_main(check);
}
