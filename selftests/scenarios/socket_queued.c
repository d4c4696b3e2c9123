// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Unix socketpairs with more in them than their buffers hold: made smaller since, and of a peer with a large one that
// has gone. One that nobody has set has the size that it had, and changes its size still.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL (100 << 10)
#define LARGE (1 << 20)

static int shrunk[2], left, plain[2], sizes[3];

static int get(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	SCENARIO_CHECK(!getsockopt(fd, SOL_SOCKET, option, &value, &size), "%m");
	return value;
}

static void set_send_buffer(int fd, int size)
{
	SCENARIO_CHECK(!setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), "%m");
}

static void put(int fd, size_t size)
{
	static char bytes[LARGE];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i >> 8 ^ i);
	SCENARIO_CHECK(send(fd, bytes, size, MSG_DONTWAIT) == (ssize_t)size, "%m");
}

static void take(int round, int fd, size_t size)
{
	static char bytes[LARGE];
	size_t wrong = 0;

	SCENARIO_CHECK(recv(fd, bytes, size, MSG_WAITALL | MSG_DONTWAIT) == (ssize_t)size, "round %d: %m", round);
	for (size_t i = 0; i < size; i++)
		wrong += bytes[i] != (char)(i >> 8 ^ i);
	SCENARIO_CHECK(!wrong, "round %d: %zu bytes are wrong", round, wrong);
}

static void fill(void)
{
	int ends[2];

	set_send_buffer(shrunk[0], 2 * SMALL);
	put(shrunk[0], SMALL);
	set_send_buffer(shrunk[0], 4096);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "%m");
	left = ends[0];
	set_send_buffer(ends[1], 2 * LARGE);
	put(ends[1], LARGE);
	close(ends[1]);
	put(plain[0], 10);
}

static void check(int round)
{
	SCENARIO_CHECK(get(shrunk[0], SO_SNDBUF) == sizes[0], "round %d: %d", round, get(shrunk[0], SO_SNDBUF));
	SCENARIO_CHECK(get(plain[0], SO_SNDBUF) == sizes[1], "round %d: %d", round, get(plain[0], SO_SNDBUF));
	SCENARIO_CHECK(get(plain[0], SO_BUF_LOCK) == 0, "round %d: %d", round, get(plain[0], SO_BUF_LOCK));
	SCENARIO_CHECK(get(left, SO_SNDBUF) == sizes[2], "round %d: %d", round, get(left, SO_SNDBUF));
	take(round, shrunk[1], SMALL);
	take(round, left, LARGE);
	take(round, plain[1], 10);
	close(left);
	fill();
}

int main(void)
{
	scenario_init();
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, shrunk) && !socketpair(AF_UNIX, SOCK_STREAM, 0, plain),
			 "%m");
	fill();
	sizes[0] = get(shrunk[0], SO_SNDBUF);
	sizes[1] = get(plain[0], SO_SNDBUF);
	sizes[2] = get(left, SO_SNDBUF);
	return scenario_main(check);
}
