// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that wait in every place where one can wait without bound. Each round lets each of them happen, expects its
// completion once, and submits it anew.
#include <linux/futex.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum {
	POLL = 1,
	POLL_MULTI,
	RECV,
	RECV_MULTI,
	TIMEOUT,
	READ,
	READ_TIMEOUT,
	CHAIN_READ,
	CHAIN_NOP,
	SPLICE,
	/* After SPLICE, whose worker is the first thread: with that, 6.18 moves the process to a futex hash of its own,
	   and a waiter that io_uring has in the global one is never woken. */
	FUTEX,
	DRAIN_POLL,
	DRAINED,
	BEHIND,
	BUFFERS,
};

/* Newer than liburing 2.3. */
#define OP_FUTEX_WAIT 51
#define GROUP         7
#define BUFFER_COUNT  4

static struct io_uring ring, drained;
static int poll_pipe[2], multi_pipe[2], read_pipe[2], chain_pipe[2], splice_in[2], splice_out[2], drain_pipe[2];
static int pair[2], multi_pair[2];
static char bytes[64], provided[BUFFER_COUNT][64];
static unsigned futex_word;
static struct __kernel_timespec far = {.tv_sec = 1000}, farther = {.tv_sec = 2000};

static void make_pipe(int fds[2])
{
	SCENARIO_REQUIRE(!pipe(fds), "%m");
}

static void arm(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	switch (what) {
	case POLL:
		io_uring_prep_poll_add(sqe, poll_pipe[0], POLLIN);
		break;
	case POLL_MULTI:
		io_uring_prep_poll_multishot(sqe, multi_pipe[0], POLLIN);
		break;
	case RECV:
		io_uring_prep_recv(sqe, pair[0], bytes, 40, 0);
		break;
	case RECV_MULTI:
		io_uring_prep_recv_multishot(sqe, multi_pair[0], NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
		break;
	case TIMEOUT:
		io_uring_prep_timeout(sqe, &far, 0, 0);
		break;
	case READ:
		io_uring_prep_read(sqe, read_pipe[0], bytes, 10, 0);
		sqe->flags |= IOSQE_IO_LINK;
		sqe->user_data = READ;
		sqe = ring_sqe(&ring);
		io_uring_prep_link_timeout(sqe, &farther, 0);
		what = READ_TIMEOUT;
		break;
	case CHAIN_READ:
		io_uring_prep_read(sqe, chain_pipe[0], bytes, 10, 0);
		sqe->flags |= IOSQE_IO_LINK;
		sqe->user_data = CHAIN_READ;
		sqe = ring_sqe(&ring);
		io_uring_prep_nop(sqe);
		what = CHAIN_NOP;
		break;
	case FUTEX:
		io_uring_prep_rw(OP_FUTEX_WAIT, sqe, FUTEX_PRIVATE_FLAG | 2, &futex_word, 0, futex_word);
		sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
		break;
	case SPLICE:
		io_uring_prep_splice(sqe, splice_in[0], -1, splice_out[1], -1, 32, 0);
		break;
	case BUFFERS:
		io_uring_prep_provide_buffers(sqe, provided, sizeof(provided[0]), BUFFER_COUNT, GROUP, 0);
		break;
	}
	sqe->user_data = what;
	ring_submit(&ring, what == READ_TIMEOUT || what == CHAIN_NOP ? 2 : 1);
}

/* A poll, a drain behind it, and what comes after the drain. */
static void arm_drained(void)
{
	struct io_uring_sqe *sqe;

	ring_prep_drain(&drained, drain_pipe[0], DRAIN_POLL, DRAINED);
	sqe = ring_sqe(&drained);
	io_uring_prep_nop(sqe);
	sqe->user_data = BEHIND;
	ring_submit(&drained, 3);
}

static void expect(int what, int result)
{
	ring_expect_result(&ring, what, result);
}

static void check_polls(void)
{
	put(poll_pipe[1], "x");
	expect(POLL, POLLIN);
	take(poll_pipe[0]);
	arm(POLL);
	put(multi_pipe[1], "x");
	expect(POLL_MULTI, POLLIN);
	take(multi_pipe[0]);
}

static void check_sockets(void)
{
	put(pair[1], "hello");
	expect(RECV, 5);
	SCENARIO_CHECK(!memcmp(bytes, "hello", 5), "received something else");
	arm(RECV);
	put(multi_pair[1], "more");
	expect(RECV_MULTI, 4);
}

static void check_chains(void)
{
	put(read_pipe[1], "abc");
	expect(READ, 3);
	expect(READ_TIMEOUT, -ECANCELED);
	arm(READ);
	put(chain_pipe[1], "0123456789");
	expect(CHAIN_READ, 10);
	expect(CHAIN_NOP, 0);
	arm(CHAIN_READ);
}

static void check_drained(void)
{
	put(drain_pipe[1], "x");
	ring_expect(&drained, DRAIN_POLL, "poll before the drain");
	ring_expect(&drained, DRAINED, "drain");
	ring_expect(&drained, BEHIND, "behind the drain");
	take(drain_pipe[0]);
	ring_expect_nothing(&drained, "drained ring");
	arm_drained();
}

/* The multishot receive takes one in each round, the oldest first. */
static void provide_again(int round)
{
	unsigned id = (unsigned)(round - 1) % BUFFER_COUNT;
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_provide_buffers(sqe, provided[id], sizeof(provided[0]), 1, GROUP, (int)id);
	sqe->user_data = BUFFERS;
	ring_submit(&ring, 1);
	expect(BUFFERS, 0);
}

static void check(int round)
{
	ring_expect_nothing(&ring, "at rest");
	check_polls();
	check_sockets();
	check_chains();
	put(splice_in[1], "splice");
	expect(SPLICE, 6);
	take(splice_out[0]);
	arm(SPLICE);
	SCENARIO_CHECK(syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1, "no futex waiter");
	expect(FUTEX, 0);
	arm(FUTEX);
	check_drained();
	provide_again(round);
	ring_expect_nothing(&ring, "after the round");
}

static void set_up(void)
{
	make_pipe(poll_pipe);
	make_pipe(multi_pipe);
	make_pipe(read_pipe);
	make_pipe(chain_pipe);
	make_pipe(splice_in);
	make_pipe(splice_out);
	make_pipe(drain_pipe);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, multi_pair), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(64, &ring, 0), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &drained, 0), "%m");
	if (!ring_knows(&ring, OP_FUTEX_WAIT))
		scenario_skip("no IORING_OP_FUTEX_WAIT (v6.7)");
	arm(BUFFERS);
	expect(BUFFERS, 0);
	for (int what = POLL; what <= FUTEX; what++)
		if (what != READ_TIMEOUT && what != CHAIN_NOP)
			arm(what);
	arm_drained();
	scenario_tell("ring", "%d", ring.ring_fd);
	scenario_tell("splice_input", "%d", splice_in[0]);
	scenario_tell("drained", "%d", drained.ring_fd);
}

int main(void)
{
	scenario_init();
	set_up();
	return scenario_main(check);
}
