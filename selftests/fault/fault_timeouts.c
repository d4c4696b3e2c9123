// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Threads that wait with timeouts which must be what they are after every wait: a constant, an option of a socket. And
// a socket of messages that is looked into from an offset.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SECONDS = 600, OFFSET = 3 };

static const struct timespec limit = {.tv_sec = SECONDS};
static int sockets[2], messages[2];

static void *wait_for_signal(void *unused)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (;;)
		sigtimedwait(&set, NULL, &limit);
	return unused;
}

static void *wait_for_message(void *unused)
{
	char byte;

	for (;;)
		if (recv(sockets[0], &byte, 1, 0) == 0)
			break;
	return unused;
}

static void check(int round)
{
	const volatile struct timespec *now = &limit;
	struct timeval timeout;
	socklen_t size = sizeof(timeout);
	int offset = 0;
	socklen_t offset_size = sizeof(offset);

	(void)round;
	SCENARIO_CHECK(now->tv_sec == SECONDS && !now->tv_nsec, "the constant is %lld s, %ld ns",
		       (long long)now->tv_sec, now->tv_nsec);
	SCENARIO_REQUIRE(!getsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, &size), "%m");
	SCENARIO_CHECK(timeout.tv_sec == SECONDS && !timeout.tv_usec, "the socket waits for %lld s",
		       (long long)timeout.tv_sec);
	SCENARIO_REQUIRE(!getsockopt(messages[0], SOL_SOCKET, SO_PEEK_OFF, &offset, &offset_size), "%m");
	SCENARIO_CHECK(offset == OFFSET, "the socket is looked into from %d", offset);
}

int main(void)
{
	struct timeval timeout = {.tv_sec = SECONDS};
	int offset = OFFSET;
	pthread_t threads[2];

	scenario_init();
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_DGRAM, 0, messages), "%m");
	SCENARIO_REQUIRE(!setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), "%m");
	SCENARIO_REQUIRE(send(messages[1], "one", 3, 0) == 3 && send(messages[1], "two", 3, 0) == 3, "%m");
	SCENARIO_REQUIRE(!setsockopt(messages[0], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)), "%m");
	SCENARIO_REQUIRE(!pthread_create(&threads[0], NULL, wait_for_signal, NULL), "thread");
	SCENARIO_REQUIRE(!pthread_create(&threads[1], NULL, wait_for_message, NULL), "thread");
	usleep(50000);
	return scenario_main(check);
}
