// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sockets whose waits have a time limit (SO_RCVTIMEO, SO_SNDTIMEO), which makes their system calls fail with a plain
// EINTR when they are disturbed, and those that have none. The limits are those that the program has set all the while.
#include <sys/socket.h>
#include <sys/time.h>

#include "selftests/scenarios/wait_threads.h"

static int limited[2], message[2], full[2], unlimited[2];
static struct timeval limit;

static long run_recv(void)
{
	char byte;
	return recv(limited[0], &byte, 1, 0);
}

static long run_recvmsg(void)
{
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(message[0], &header, 0);
}

static long run_write(void)
{
	return write(full[0], "x", 1);
}

static long run_unlimited(void)
{
	char byte;
	return recv(unlimited[0], &byte, 1, 0);
}

static void trigger_unlimited(void)
{
	SCENARIO_CHECK(send(unlimited[1], "x", 1, 0) == 1, "send");
}

static struct wait waits[] = {
	{.name = "recv with SO_RCVTIMEO", .run = run_recv, .error = EAGAIN},
	{.name = "recvmsg with SO_RCVTIMEO", .run = run_recvmsg, .error = EAGAIN},
	{.name = "write with SO_SNDTIMEO", .run = run_write, .error = EAGAIN},
	{.name = "recv", .run = run_unlimited, .trigger = trigger_unlimited},
};
#define WAITS (int)(sizeof(waits) / sizeof(waits[0]))

static void check_limit(int fd, int option)
{
	struct timeval now = {};
	socklen_t size = sizeof(now);

	getsockopt(fd, SOL_SOCKET, option, &now, &size);
	SCENARIO_CHECK(now.tv_sec == limit.tv_sec && now.tv_usec == limit.tv_usec, "the limit is %ld.%06ld s",
		       now.tv_sec, now.tv_usec);
}

static void check(int round)
{
	(void)round;
	waits_end(waits, WAITS);
	check_limit(limited[0], SO_RCVTIMEO);
	check_limit(message[0], SO_RCVTIMEO);
	check_limit(full[0], SO_SNDTIMEO);
	waits_start(waits, WAITS);
}

static void open_pair(int *pair, int type, int option)
{
	SCENARIO_REQUIRE(socketpair(AF_UNIX, type, 0, pair) == 0, "socketpair");
	if (option)
		setsockopt(pair[0], SOL_SOCKET, option, &limit, sizeof(limit));
}

int main(int argc, char **argv)
{
	scenario_init();
	if (argc > 1)
		wait_timeout_ms = atoi(argv[1]);
	limit = (struct timeval){WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000};
	open_pair(limited, SOCK_STREAM, SO_RCVTIMEO);
	open_pair(message, SOCK_DGRAM, SO_RCVTIMEO);
	open_pair(full, SOCK_STREAM, SO_SNDTIMEO);
	open_pair(unlimited, SOCK_STREAM, 0);
	while (send(full[0], waits, sizeof(waits), MSG_DONTWAIT) > 0)
		;
	waits_start(waits, WAITS);
	return scenario_main(check);
}
