// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A ring in the program's own memory (IORING_SETUP_NO_MMAP), and one that has neither descriptor nor mapping
// (REGISTERED_FD_ONLY): the kernel knows it by a registered index of the thread. One armed poll in it. liburing 2.3
// knows neither. Kinds of memory: private; moved by mremap(2); discarded, so that the program no longer sees it; shared
// by processes that all use the ring.
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define SETUP_NO_MMAP            (1U << 14)
#define SETUP_REGISTERED_FD_ONLY (1U << 15)
#define SETUP_NO_SQARRAY         (1U << 16)

static struct io_uring_params params = {.flags = SETUP_NO_MMAP};
static int ring, pipe_fds[2];
static char *memory, *sqes;
static unsigned enter_flags;
static int child_pipes[2][2];

static _Atomic unsigned *word(unsigned offset)
{
	return (_Atomic unsigned *)(memory + offset);
}

static int enter(unsigned submit, unsigned wait)
{
	unsigned flags = enter_flags | (wait ? IORING_ENTER_GETEVENTS : 0);
	int done;

	do {
		done = (int)syscall(SYS_io_uring_enter, ring, submit, wait, flags, NULL, 0);
	} while (done < 0 && errno == EINTR);
	return done;
}

static void submit_poll(void)
{
	unsigned tail = atomic_load(word(params.sq_off.tail)), slot = tail & (params.sq_entries - 1);
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)sqes + slot;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = pipe_fds[0];
	sqe->poll32_events = POLLIN;
	sqe->user_data = 42;
	if (!(params.flags & SETUP_NO_SQARRAY))
		*word(params.sq_off.array + slot * 4) = slot;
	atomic_store(word(params.sq_off.tail), tail + 1);
	SCENARIO_REQUIRE(enter(1, 0) == 1, "%m");
}

/* By the child, if there is one: tells it to, and waits until it has. */
static void arm(void)
{
	char byte = 0;

	if (!child_pipes[0][1])
		return submit_poll();
	SCENARIO_REQUIRE(write(child_pipes[0][1], &byte, 1) == 1 && read(child_pipes[1][0], &byte, 1) == 1, "%m");
}

static void fork_child(void)
{
	char byte;
	pid_t child;

	SCENARIO_REQUIRE(!pipe(child_pipes[0]) && !pipe(child_pipes[1]), "%m");
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (child)
		return;
	for (;;) {
		SCENARIO_REQUIRE(read(child_pipes[0][0], &byte, 1) == 1, "%m");
		submit_poll();
		SCENARIO_REQUIRE(write(child_pipes[1][1], &byte, 1) == 1, "%m");
	}
}

static void check(int round)
{
	struct io_uring_cqe *cqes = (void *)(memory + params.cq_off.cqes), *cqe;
	unsigned head = atomic_load(word(params.cq_off.head));
	char byte;

	(void)round;
	SCENARIO_REQUIRE(write(pipe_fds[1], "x", 1) == 1, "%m");
	SCENARIO_REQUIRE(enter(0, 1) >= 0, "%m");
	SCENARIO_REQUIRE(atomic_load(word(params.cq_off.tail)) == head + 1, "no completion");
	cqe = &cqes[head & (params.cq_entries - 1)];
	SCENARIO_CHECK(cqe->user_data == 42 && cqe->res == POLLIN, "%llu: %d", (unsigned long long)cqe->user_data,
		       cqe->res);
	atomic_store(word(params.cq_off.head), head + 1);
	SCENARIO_REQUIRE(read(pipe_fds[0], &byte, 1) == 1, "%m");
	arm();
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "private";
	bool shared = !strcmp(kind, "shared");

	scenario_init();
	if (!strcmp(kind, "registered"))
		params.flags |= SETUP_REGISTERED_FD_ONLY;
	if (shared)
		params.flags |= SETUP_NO_SQARRAY;
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	memset(memory, 0, 8192);
	if (!strcmp(kind, "moved")) {
		void *place = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memory = mremap(memory, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, place);
		SCENARIO_REQUIRE(memory != MAP_FAILED, "%m");
	}
	sqes = memory + 4096;
	params.cq_off.resv2 = (unsigned long)memory; /* user_addr in newer headers */
	params.sq_off.resv2 = (unsigned long)sqes;
	ring = (int)syscall(SYS_io_uring_setup, 8, &params);
	if (ring < 0 && errno == EINVAL)
		scenario_skip("no IORING_SETUP_NO_MMAP");
	SCENARIO_REQUIRE(ring >= 0, "%m");
	if (params.flags & SETUP_REGISTERED_FD_ONLY)
		enter_flags = IORING_ENTER_REGISTERED_RING;
	if (shared)
		fork_child();
	arm();
	if (!strcmp(kind, "discarded"))
		SCENARIO_REQUIRE(!madvise(sqes, 4096, MADV_DONTNEED), "%m");
	scenario_tell("ring", "%d", ring);
	scenario_tell("memory", "%lu", (unsigned long)memory);
	return scenario_main(check);
}
