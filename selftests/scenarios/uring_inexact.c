// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that come back only otherwise than they were (--allow-inexact KIND), and do not change in a program that is
// only stopped. argv[1] says which.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define TIMEOUT_MULTISHOT (1U << 6) /* IORING_TIMEOUT_MULTISHOT */

enum {
	RECV = 1,
	RECVMSG,
	SEND,
	SENDMSG,
	LINKED,
	REPEATING, /* timeouts */
	ENDLESS,
	LAST_OF_MANY,
	UPDATED,
	FEW,
	OFTEN,
	UPDATE,
	KINDS,
};

enum { MESSAGE = 100, PART = 30, LONG = 1 << 20 };

static struct io_uring ring;
static unsigned flags;
static int pairs[KINDS][2];
static char received[KINDS][MESSAGE], sent[KINDS][LONG], filled[LONG];
static struct msghdr headers[KINDS];
static struct iovec iovecs[KINDS][2];

static void set_up_ring(void)
{
	SCENARIO_REQUIRE(!io_uring_queue_init(512, &ring, flags), "%m");
}

/* With DEFER_TASKRUN the thread has to come for what has happened. */
static void fetch(void)
{
	syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

static char pattern(int what, int at)
{
	return (char)(at * 7 + at / 251 + what);
}

/* --- MSG_WAITALL --- */

static void send_pattern(int what, int from, int to)
{
	for (int at = from; at < to; at++) {
		char byte = pattern(what, at);

		SCENARIO_REQUIRE(send(pairs[what][1], &byte, 1, 0) == 1, "%m");
	}
}

static void prep_message(struct io_uring_sqe *sqe, int what, char *data, int from, int size)
{
	iovecs[what][0] = (struct iovec){data + from, (size - from) / 2};
	iovecs[what][1] = (struct iovec){data + from + (size - from) / 2, size - from - (size - from) / 2};
	headers[what] = (struct msghdr){.msg_iov = iovecs[what], .msg_iovlen = 2};
	if (what == RECVMSG)
		io_uring_prep_recvmsg(sqe, pairs[what][0], &headers[what], MSG_WAITALL);
	else
		io_uring_prep_sendmsg(sqe, pairs[what][0], &headers[what], MSG_WAITALL);
}

/* What is left from `from` on. */
static void arm_from(int what, int from)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	if (what == RECV)
		io_uring_prep_recv(sqe, pairs[what][0], received[what] + from, MESSAGE - from, MSG_WAITALL);
	else if (what == RECVMSG)
		prep_message(sqe, what, received[what], from, MESSAGE);
	else if (what == SEND)
		io_uring_prep_send(sqe, pairs[what][0], sent[what] + from, LONG - from, MSG_WAITALL);
	else
		prep_message(sqe, what, sent[what], from, LONG);
	sqe->user_data = what;
	ring_submit(&ring, 1);
}

static int is_receive(int what)
{
	return what == RECV || what == RECVMSG;
}

static void arm(int what)
{
	memset(received[what], 0, MESSAGE);
	arm_from(what, 0);
	if (is_receive(what))
		send_pattern(what, 0, PART);
	fetch();
	ring_expect_nothing(&ring, "a part has been moved");
}

/* Reads what the peer got; gives how much that is now. */
static int take_sent(int what, int got)
{
	ssize_t more;

	while (got < LONG && (more = recv(pairs[what][1], filled, sizeof(filled), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < more; i++, got++)
			if (filled[i] != pattern(what, got)) {
				SCENARIO_CHECK(0, "request %d: another byte at %d", what, got);
				return LONG;
			}
	return got;
}

static void expect_whole(int what, int from, int got)
{
	struct io_uring_cqe *cqe;

	if (is_receive(what)) {
		send_pattern(what, PART, MESSAGE);
		ring_expect_result(&ring, what, MESSAGE - from);
		for (int at = 0; at < MESSAGE; at++)
			SCENARIO_CHECK(received[what][at] == pattern(what, at), "request %d: byte %d", what, at);
		return;
	}
	for (int tries = 0; io_uring_peek_cqe(&ring, &cqe) == -EAGAIN && tries < 10000; tries++) {
		got = take_sent(what, got);
		fetch();
	}
	ring_expect_result(&ring, what, LONG - from);
	got = take_sent(what, got);
	SCENARIO_CHECK(got == LONG, "request %d: %d bytes arrived", what, got);
}

/* It tells how much had been moved, and that much it was. */
static void expect_part(int what, int part)
{
	int got = part;

	if (is_receive(what)) {
		SCENARIO_CHECK(part == PART, "request %d: %d", what, part);
		for (int at = 0; at < MESSAGE; at++)
			SCENARIO_CHECK(received[what][at] == (at < PART ? pattern(what, at) : 0), "byte %d", at);
	} else {
		got = take_sent(what, 0);
		SCENARIO_CHECK(part > 0 && part < LONG && got == part, "request %d: %d of %d", what, got, part);
	}
	arm_from(what, part);
	expect_whole(what, part, got);
}

/* All of them at once, in any order. */
static void expect_parts(void)
{
	int parts[KINDS] = {0};

	for (int i = RECV; i <= SENDMSG; i++) {
		struct io_uring_cqe *cqe;

		SCENARIO_REQUIRE(!io_uring_peek_cqe(&ring, &cqe), "%d parts were told", i - RECV);
		SCENARIO_REQUIRE(cqe->user_data <= SENDMSG && !parts[cqe->user_data], "told twice");
		parts[cqe->user_data] = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
	}
	ring_expect_nothing(&ring, "all parts");
	for (int what = RECV; what <= SENDMSG; what++)
		expect_part(what, parts[what]);
}

/* A process that is made anew has another start time (proc(5)). */
static bool was_restored(void)
{
	static unsigned long long before;
	unsigned long long now = 0;
	char line[1024] = "", *end;
	FILE *file = fopen("/proc/self/stat", "r");
	bool changed;

	SCENARIO_REQUIRE(file && fgets(line, sizeof(line), file) && (end = strrchr(line, ')')), "%m");
	fclose(file);
	SCENARIO_REQUIRE(sscanf(end + 2,
				"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
				&now) == 1,
			 "no start time");
	changed = before && now != before;
	before = now;
	return changed;
}

static void check_parts(void)
{
	if (!pairs[RECV][0])
		return;
	fetch();
	if (was_restored())
		expect_parts();
	else
		for (int what = RECV; what <= SENDMSG; what++)
			expect_whole(what, 0, 0);
	ring_expect_nothing(&ring, "after the round");
	for (int what = RECV; what <= SENDMSG; what++)
		arm(what);
}

static void set_up_pair(int what)
{
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[what]), "%m");
	for (int at = 0; at < LONG; at++)
		sent[what][at] = pattern(what, at);
}

static void set_up_parts(void)
{
	set_up_ring();
	was_restored();
	for (int what = RECV; what <= SENDMSG; what++) {
		set_up_pair(what);
		arm(what);
	}
}

/* What comes after it would be told that it failed. */
static void set_up_linked(void)
{
	struct io_uring_sqe *sqe;

	set_up_ring();
	sqe = ring_sqe(&ring);
	set_up_pair(LINKED);
	io_uring_prep_recv(sqe, pairs[LINKED][0], received[LINKED], MESSAGE, MSG_WAITALL);
	sqe->flags |= IOSQE_IO_LINK;
	sqe = ring_sqe(&ring);
	io_uring_prep_nop(sqe);
	ring_submit(&ring, 2);
	send_pattern(LINKED, 0, PART);
}

/* --- repeating timeouts --- */

static int told[KINDS];

static void arm_timeout(int what, long milliseconds, int repeats)
{
	struct __kernel_timespec period = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_timeout(sqe, &period, repeats, TIMEOUT_MULTISHOT);
	sqe->user_data = what;
	ring_submit(&ring, 1);
}

static void count_expiries(void)
{
	struct io_uring_cqe *cqe;

	fetch();
	while (!io_uring_peek_cqe(&ring, &cqe)) {
		int what = (int)cqe->user_data;

		SCENARIO_CHECK(what == FEW || what == OFTEN, "timeout %d has expired", what);
		SCENARIO_CHECK(cqe->res == -ETIME, "timeout %d: %d", what, cqe->res);
		if (what < KINDS)
			told[what]++;
		SCENARIO_CHECK(!(cqe->flags & IORING_CQE_F_MORE) == (what == FEW && told[what] == 3),
			       "timeout %d: flags %x at expiry %d", what, cqe->flags, told[what]);
		io_uring_cqe_seen(&ring, cqe);
	}
}

static int expires(int what, int times)
{
	count_expiries();
	return told[what] >= times;
}

static void check_timeouts(void)
{
	int before;

	if (!told[OFTEN])
		return;
	count_expiries();
	before = told[OFTEN];
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(expires(OFTEN, before + 2), 5), "it does not repeat");
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(expires(FEW, 3), 5), "expired %d times", told[FEW]);
	scenario_sleep_ms(150);
	count_expiries();
	SCENARIO_CHECK(told[FEW] == 3, "expired %d times", told[FEW]);
	told[FEW] = 0;
	arm_timeout(FEW, 100, 3);
}

static void set_up_timeouts(void)
{
	struct __kernel_timespec period = {.tv_sec = 900};
	struct io_uring_sqe *sqe;

	set_up_ring();
	arm_timeout(LAST_OF_MANY, 1000 * 1000, 1);
	if (io_uring_cq_ready(&ring))
		scenario_skip("no IORING_TIMEOUT_MULTISHOT");
	arm_timeout(REPEATING, 1000 * 1000, 5);
	arm_timeout(ENDLESS, 1000 * 1000, 0);
	arm_timeout(UPDATED, 1000 * 1000, 5);
	sqe = ring_sqe(&ring);
	io_uring_prep_timeout_update(sqe, &period, UPDATED, 0);
	sqe->user_data = UPDATE;
	ring_submit(&ring, 1);
	SCENARIO_REQUIRE(!ring_expect(&ring, UPDATE, "update"), "update");
	arm_timeout(OFTEN, 60, 0);
	arm_timeout(FEW, 100, 3);
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(expires(OFTEN, 1), 5), "it does not expire");
	/* A second of the others passes. */
	scenario_sleep_ms(1000);
	count_expiries();
}

static void check(int round)
{
	(void)round;
	check_parts();
	check_timeouts();
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"waitall", set_up_parts},
		{"linked", set_up_linked},
		{"timeout", set_up_timeouts},
	};

	flags = argc > 2 ? atoi(argv[2]) : 0;
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
