// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Unix socketpairs with data: a stream read in part, datagrams (one of them empty), sequenced packets, a shut one, and
// one whose peer is closed.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int stream[2], datagrams[2], packets[2], shut[2], orphan;

static void put(int fd, const char *text)
{
	size_t length = strlen(text);

	SCENARIO_CHECK(send(fd, text, length, 0) == (ssize_t)length, "errno %d", errno);
}

static void take(int fd, const char *expected)
{
	char text[64] = "";
	ssize_t got = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	SCENARIO_CHECK(got == (ssize_t)strlen(expected) && !memcmp(text, expected, strlen(expected)),
		       "expected '%s', got %zd bytes '%s'", expected, got, text);
}

static void fill(void)
{
	char byte[2];

	put(stream[0], "xxhello ");
	put(stream[0], "world");
	SCENARIO_CHECK(read(stream[1], byte, 2) == 2, "errno %d", errno);
	put(datagrams[0], "one");
	put(datagrams[0], "");
	put(datagrams[0], "three");
	put(packets[0], "packet 1");
	put(packets[0], "packet 2");
}

static void check(int round)
{
	struct timeval timeout;
	socklen_t length = sizeof(timeout);
	char byte;

	take(stream[1], "hello world");
	take(datagrams[1], "one");
	take(datagrams[1], "");
	take(datagrams[1], "three");
	take(packets[1], "packet 1");
	take(packets[1], "packet 2");
	fill();
	SCENARIO_CHECK(recv(shut[1], &byte, 1, 0) == 0, "round %d: the shut socket is open", round);
	SCENARIO_CHECK(recv(orphan, &byte, 1, 0) == 0, "round %d: the orphan has a peer", round);
	SCENARIO_CHECK(getsockopt(stream[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, &length) == 0 && timeout.tv_sec == 7,
		       "timeout %lld", (long long)timeout.tv_sec);
}

int main(void)
{
	struct timeval timeout = {.tv_sec = 7};
	int pair[2];

	scenario_init();
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, stream), "errno %d", errno);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams), "errno %d", errno);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), "errno %d", errno);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, shut), "errno %d", errno);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "errno %d", errno);
	shutdown(shut[0], SHUT_WR);
	close(pair[0]);
	orphan = pair[1];
	setsockopt(stream[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	fill();
	scenario_tell("stream0", "%d", stream[0]);
	scenario_tell("stream1", "%d", stream[1]);
	scenario_tell("datagrams", "%d", datagrams[1]);
	scenario_tell("packets", "%d", packets[1]);
	scenario_tell("shut", "%d", shut[0]);
	scenario_tell("orphan", "%d", orphan);
	return scenario_main(check);
}
