// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sockets whose waits have a time limit (SO_RCVTIMEO), which makes their system calls fail with a plain EINTR when they
// are disturbed, and those that have none.
#include <sys/socket.h>
#include <sys/time.h>

#include "selftests/scenarios/wait_threads.h"

static int limited[2], unlimited[2];

static long run_limited(void)
{
	char byte;
	return recv(limited[0], &byte, 1, 0);
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
	{.name = "recv with SO_RCVTIMEO", .run = run_limited, .error = EAGAIN},
	{.name = "recv", .run = run_unlimited, .trigger = trigger_unlimited},
};

static void check(int round)
{
	(void)round;
	waits_end(waits, 2);
	waits_start(waits, 2);
}

int main(void)
{
	struct timeval limit = {WAIT_TIMEOUT_MS / 1000, WAIT_TIMEOUT_MS % 1000 * 1000};

	scenario_init();
	SCENARIO_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, limited) == 0, "socketpair");
	SCENARIO_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, unlimited) == 0, "socketpair");
	setsockopt(limited[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	waits_start(waits, 2);
	return scenario_main(check);
}
