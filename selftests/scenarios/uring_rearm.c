// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that wait, each with a number: each round lets every one of them happen, counts its completion once, and
// submits it anew. Arguments: flags of the ring.
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum {
	POLL = 1,
	POLL_MULTI,
	POLL_TOLD, /* what is ready has been told */
	READ,
	READ_FIXED, /* slot, registered buffer, personality */
	READV,      /* its iovecs are gone */
	READ_TIMER,
	WRITE, /* into a full pipe */
	RECV,
	SEND, /* to a peer that does not read */
	TIMED_READ,
	READ_TIMEOUT,
	CHAIN_READ,
	CHAIN_NOP,
	CHAIN_LAST,
	TIMEOUT,
	TIMEOUT_ABSOLUTE,
	TIMEOUT_WALL, /* relative, on the wall clock: it does not follow that clock */
	EPOLL,
	FUTEX,
	FUTEXES,
	DONE,  /* DEFER_TASKRUN: a futex that was woken, and nobody has fetched the completion */
	WOKEN, /* the same, but it has to look again: what it waits for has come, and nobody has fetched the completion
		*/
	LAST,
	CANCEL,
};

/* Newer than liburing 2.3. */
#define OP_FUTEX_WAIT  51
#define OP_FUTEX_WAITV 53
#define OP_EPOLL_WAIT  59
#define DEFER_TASKRUN  (1U << 13)
#define FUTEX2_U32     2

struct waitv {
	__u64 value, address;
	__u32 flags, reserved;
};

static struct io_uring ring;
static unsigned flags;
static int pipes[LAST][2], pair[2], send_pair[2], timer, epoll, personality;
static char bytes[LAST][64];
/* Not in a page with data of the program's file, which v6.1 does not register. */
static char fixed_buffer[4096] __attribute__((aligned(4096))), filling[1 << 16] __attribute__((aligned(4096)));
static unsigned words[4];
static struct __kernel_timespec far = {.tv_sec = 1000}, farther = {.tv_sec = 2000}, absolute;
static struct epoll_event event;

static void read_vector(struct io_uring_sqe *sqe)
{
	struct iovec *iovecs = calloc(2, sizeof(*iovecs));

	iovecs[0] = (struct iovec){bytes[READV], 2};
	iovecs[1] = (struct iovec){bytes[READV] + 8, 20};
	io_uring_prep_readv(sqe, pipes[READV][0], iovecs, 2, 0);
	sqe->user_data = READV;
	ring_submit(&ring, 1);
	memset(iovecs, 0xff, 2 * sizeof(*iovecs));
	free(iovecs);
}

static void wait_for_futexes(struct io_uring_sqe *sqe)
{
	struct waitv waits[2] = {
		{.address = (__u64)&words[1], .flags = FUTEX2_U32 | FUTEX_PRIVATE_FLAG},
		{.address = (__u64)&words[2], .flags = FUTEX2_U32 | FUTEX_PRIVATE_FLAG},
	};

	words[1] = words[2] = 0;
	io_uring_prep_rw(OP_FUTEX_WAITV, sqe, 0, waits, 2, 0);
	sqe->user_data = FUTEXES;
	ring_submit(&ring, 1);
	memset(waits, 0xff, sizeof(waits));
}

/* Requests of which this kernel knows nothing are left out (before v6.7 and v6.15). */
static int is_known(int what)
{
	switch (what) {
	case EPOLL:
		return ring_knows(&ring, OP_EPOLL_WAIT);
	case FUTEX:
	case DONE:
		return ring_knows(&ring, OP_FUTEX_WAIT);
	case FUTEXES:
		return ring_knows(&ring, OP_FUTEX_WAITV);
	}
	return 1;
}

static void arm(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	unsigned *word;
	int count = 1;

	switch (what) {
	case POLL:
		io_uring_prep_poll_add(sqe, pipes[what][0], POLLIN);
		break;
	case POLL_MULTI:
	case POLL_TOLD:
		io_uring_prep_poll_multishot(sqe, pipes[what][0], POLLIN);
		break;
	case READ:
	case WOKEN:
		io_uring_prep_read(sqe, pipes[what][0], bytes[what], 10, 0);
		break;
	case READ_FIXED:
		io_uring_prep_read_fixed(sqe, 3, fixed_buffer + 8, 64, 0, 1);
		sqe->flags |= IOSQE_FIXED_FILE;
		sqe->personality = personality;
		break;
	case READV:
		return read_vector(sqe);
	case READ_TIMER:
		io_uring_prep_read(sqe, timer, bytes[what], 8, 0);
		break;
	case WRITE:
		io_uring_prep_write(sqe, pipes[what][1], filling, 4096, 0);
		break;
	case RECV:
		io_uring_prep_recv(sqe, pair[0], bytes[what], 40, 0);
		break;
	case SEND:
		io_uring_prep_send(sqe, send_pair[1], "sent", 4, 0);
		break;
	case TIMED_READ:
	case CHAIN_READ:
		io_uring_prep_read(sqe, pipes[what][0], bytes[what], 10, 0);
		sqe->flags |= IOSQE_IO_LINK;
		sqe->user_data = what;
		sqe = ring_sqe(&ring);
		if (what == TIMED_READ) {
			io_uring_prep_link_timeout(sqe, &farther, IORING_TIMEOUT_REALTIME);
			count = 2;
			what = READ_TIMEOUT;
			break;
		}
		io_uring_prep_nop(sqe);
		sqe->flags |= IOSQE_IO_HARDLINK;
		sqe->user_data = CHAIN_NOP;
		sqe = ring_sqe(&ring);
		io_uring_prep_read(sqe, pipes[CHAIN_LAST][0], bytes[CHAIN_LAST], 10, 0);
		count = 3;
		what = CHAIN_LAST;
		break;
	case TIMEOUT:
		io_uring_prep_timeout(sqe, &far, 0, 0);
		break;
	case TIMEOUT_WALL:
		io_uring_prep_timeout(sqe, &far, 0, IORING_TIMEOUT_REALTIME);
		break;
	case TIMEOUT_ABSOLUTE:
		io_uring_prep_timeout(sqe, &absolute, 0, IORING_TIMEOUT_ABS | IORING_TIMEOUT_BOOTTIME);
		break;
	case EPOLL:
		io_uring_prep_rw(OP_EPOLL_WAIT, sqe, epoll, &event, 1, 0);
		break;
	case FUTEX:
	case DONE:
		word = &words[what == DONE ? 3 : 0];
		*word = 7;
		io_uring_prep_rw(OP_FUTEX_WAIT, sqe, FUTEX_PRIVATE_FLAG | FUTEX2_U32, word, 0, *word);
		sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
		break;
	case FUTEXES:
		return wait_for_futexes(sqe);
	}
	sqe->user_data = what;
	ring_submit(&ring, count);
}

static void arm_known(int what)
{
	if (is_known(what))
		arm(what);
}

static void expect(int what, int result)
{
	ring_expect_result(&ring, what, result);
}

/* In any order. */
static void expect_both(int first, int result, int second, int second_result)
{
	struct io_uring_cqe *cqe = NULL;

	SCENARIO_REQUIRE(!io_uring_wait_cqe(&ring, &cqe), "no completion");
	if (cqe->user_data == (unsigned)first) {
		expect(first, result);
		expect(second, second_result);
	} else {
		expect(second, second_result);
		expect(first, result);
	}
}

static void expect_no_more(const char *when)
{
	/* Also what its thread would have to fetch. */
	syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	ring_expect_nothing(&ring, when);
}

static void check_polls(void)
{
	put(pipes[POLL][1], "x");
	expect(POLL, POLLIN);
	take(pipes[POLL][0]);
	arm(POLL);
	for (int what = POLL_MULTI; what <= POLL_TOLD; what++) {
		put(pipes[what][1], "x");
		expect(what, POLLIN);
		if (what != POLL_TOLD)
			take(pipes[what][0]);
	}
}

static void check_reads(void)
{
	struct itimerspec soon = {.it_value.tv_nsec = 1000}, never = {.it_value.tv_sec = 10000};

	put(pipes[READ][1], "read");
	expect(READ, 4);
	SCENARIO_CHECK(!memcmp(bytes[READ], "read", 4), "read something else");
	arm(READ);
	put(pipes[READ_FIXED][1], "fixed");
	expect(READ_FIXED, 5);
	SCENARIO_CHECK(!memcmp(fixed_buffer + 8, "fixed", 5), "read something else");
	arm(READ_FIXED);
	put(pipes[READV][1], "0123456789");
	expect(READV, 10);
	SCENARIO_CHECK(!memcmp(bytes[READV], "01", 2) && !memcmp(bytes[READV] + 8, "23456789", 8), "read elsewhere");
	arm(READV);
	timerfd_settime(timer, 0, &soon, NULL);
	expect(READ_TIMER, 8);
	timerfd_settime(timer, 0, &never, NULL);
	arm(READ_TIMER);
}

/* As much as fits, by pages. */
static void fill_pipe(int fd)
{
	for (int i = 0; i < 16; i++)
		SCENARIO_REQUIRE(write(fd, filling, 4096) == 4096, "%m");
}

/* Until nothing is left to take. */
static void check_writes(void)
{
	char text[4096];
	ssize_t got;

	SCENARIO_REQUIRE(read(pipes[WRITE][0], text, sizeof(text)) == sizeof(text), "%m");
	expect(WRITE, 4096);
	arm(WRITE);
	while ((got = recv(send_pair[0], text, 4, MSG_DONTWAIT)) == 4 && memcmp(text, "sent", 4))
		SCENARIO_CHECK(!memcmp(text, "fill", 4), "something else is in the queue");
	if (got < 0) {
		expect(SEND, 4);
		SCENARIO_REQUIRE(recv(send_pair[0], text, 4, MSG_DONTWAIT) == 4, "%m");
	} else {
		expect(SEND, 4);
	}
	SCENARIO_CHECK(!memcmp(text, "sent", 4), "something else was sent");
	while (send(send_pair[1], "fill", 4, MSG_DONTWAIT) == 4)
		;
	arm(SEND);
	put(pair[1], "hello");
	expect(RECV, 5);
	arm(RECV);
}

static void check_chains(void)
{
	put(pipes[TIMED_READ][1], "abc");
	expect(TIMED_READ, 3);
	expect(READ_TIMEOUT, -ECANCELED);
	arm(TIMED_READ);
	put(pipes[CHAIN_READ][1], "0123456789");
	expect(CHAIN_READ, 10);
	expect(CHAIN_NOP, 0);
	put(pipes[CHAIN_LAST][1], "end");
	expect(CHAIN_LAST, 3);
	arm(CHAIN_READ);
}

static void check_cancel(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int results[LAST + 2] = {0}, seen[LAST + 2] = {0};

	io_uring_prep_cancel64(sqe, what, 0);
	sqe->user_data = CANCEL;
	ring_submit(&ring, 1);
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe *cqe;

		SCENARIO_REQUIRE(!io_uring_wait_cqe(&ring, &cqe) && cqe->user_data <= CANCEL, "no completion");
		results[cqe->user_data] = cqe->res;
		seen[cqe->user_data]++;
		io_uring_cqe_seen(&ring, cqe);
	}
	/* Of futexes it tells how many (io_uring/futex.c: io_futex_cancel). */
	SCENARIO_CHECK(seen[CANCEL] == 1 && results[CANCEL] == (what == FUTEX), "cancelling %d: %d", what,
		       results[CANCEL]);
	SCENARIO_CHECK(seen[what] == 1 && results[what] == -ECANCELED, "cancelled %d: %d", what, results[what]);
	arm(what);
}

static void check_futexes(void)
{
	SCENARIO_CHECK(syscall(SYS_futex, &words[0], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1, "no futex waiter");
	expect(FUTEX, 0);
	arm(FUTEX);
	SCENARIO_CHECK(syscall(SYS_futex, &words[2], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1, "no futex waiter");
	expect(FUTEXES, 1);
	arm(FUTEXES);
	check_cancel(FUTEX);
}

static void check_epoll(void)
{
	put(pipes[EPOLL][1], "x");
	expect(EPOLL, 1);
	SCENARIO_CHECK(event.events == EPOLLIN && event.data.u32 == 42, "another event");
	take(pipes[EPOLL][0]);
	arm(EPOLL);
}

/* Between two rounds: the value has changed, and nobody is woken yet. */
static void leave_for_later(void)
{
	words[0] = 8;
	words[1] = 9;
	if (flags & DEFER_TASKRUN) {
		if (is_known(DONE))
			SCENARIO_CHECK(syscall(SYS_futex, &words[3], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1,
				       "no waiter");
		put(pipes[WOKEN][1], "later");
	}
}

static void check(int round)
{
	(void)round;
	if (flags & DEFER_TASKRUN) {
		if (is_known(DONE))
			expect_both(DONE, 0, WOKEN, 5);
		else
			expect(WOKEN, 5);
		arm_known(DONE);
		arm(WOKEN);
	}
	expect_no_more("at rest");
	check_polls();
	check_reads();
	check_writes();
	check_chains();
	if (is_known(EPOLL))
		check_epoll();
	if (is_known(FUTEX))
		check_futexes();
	for (int what = READ; what <= READ_TIMER; what++)
		check_cancel(what);
	check_cancel(POLL);
	check_cancel(TIMEOUT);
	check_cancel(TIMEOUT_ABSOLUTE);
	check_cancel(TIMEOUT_WALL);
	expect_no_more("after the round");
	leave_for_later();
}

static void set_up(void)
{
	struct iovec buffers[2] = {{filling, 4096}, {fixed_buffer, sizeof(fixed_buffer)}};
	struct epoll_event interest = {.events = EPOLLIN, .data.u32 = 42};
	struct timespec now;
	int slots[4] = {-1, -1, -1, -1};

	for (int i = 1; i < LAST; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, send_pair), "%m");
	timer = timerfd_create(CLOCK_MONOTONIC, 0);
	epoll = epoll_create1(0);
	SCENARIO_REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[EPOLL][0], &interest), "%m");
	SCENARIO_REQUIRE(!clock_gettime(CLOCK_BOOTTIME, &now), "%m");
	absolute.tv_sec = now.tv_sec + 3000;
	slots[3] = pipes[READ_FIXED][0];
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, slots, 4), "files");
	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, buffers, 2), "buffers");
	personality = io_uring_register_personality(&ring);
	SCENARIO_REQUIRE(personality > 0, "personality");
	fill_pipe(pipes[WRITE][1]);
	while (send(send_pair[1], "fill", 4, MSG_DONTWAIT) == 4)
		;
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? atoi(argv[1]) : 0};

	scenario_init();
	flags = params.flags;
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	set_up();
	for (int what = POLL; what <= FUTEXES; what++)
		if (what != READ_TIMEOUT && what != CHAIN_NOP && what != CHAIN_LAST)
			arm_known(what);
	if (flags & DEFER_TASKRUN) {
		arm_known(DONE);
		arm(WOKEN);
	}
	put(pipes[POLL_TOLD][1], "x");
	expect(POLL_TOLD, POLLIN);
	leave_for_later();
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
