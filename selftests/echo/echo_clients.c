// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Clients of the echo server: N connections that each send a stream of known bytes, a few in flight at any time, and
// verify every byte that comes back. What the stream at an offset is follows from connection and offset alone, so a
// byte that is lost, doubled or moved is found where it happens.
//
//	echo_clients PORT [CONNECTIONS]
//
// Creates the file `ready` when all connections have been answered. With the file `stop` it stops sending, waits until
// all is answered, and prints its account as JSON; exit 0 if nothing was lost.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

enum {
	kDefaultConnections = 100,
	kChunk = 1500,        // bytes per send at most
	kWindow = 8 * kChunk, // bytes on the way at most, per connection
	kPhases = 5,          // a fifth of them send at a time
	kRoundMs = 1,         // per phase
	kDrainMs = 10000,
};

struct connection {
	int fd;
	bool dead;
	uint64_t sent, received;
	uint64_t waiting_since; // ms; when bytes were on the way and none came
};

struct account {
	uint64_t sent, received, corrupt, resets, longest_wait_ms;
};

static struct connection *connections;
static unsigned count;
static struct account total;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// The byte of a stream at an offset: a mixed counter, without a period that a shifted buffer could hide in.
static char stream_byte(unsigned connection, uint64_t offset)
{
	uint64_t x = (offset + ((uint64_t)connection << 40)) * 0x9e3779b97f4a7c15u;

	return (char)(x >> 56 ^ x >> 31);
}

static void give_up(unsigned i, const char *what)
{
	fprintf(stderr, "echo_clients: connection %u after %" PRIu64 " of %" PRIu64 " bytes: %s: %s\n", i,
		connections[i].received, connections[i].sent, what, strerror(errno));
	connections[i].dead = true;
	total.resets++;
}

static void send_some(unsigned i)
{
	struct connection *connection = &connections[i];
	char chunk[kChunk];
	size_t length = 1 + (connection->sent * 2654435761u + i) % kChunk;
	ssize_t n;

	if (connection->dead || connection->sent - connection->received + length > kWindow)
		return;
	for (size_t k = 0; k < length; k++)
		chunk[k] = stream_byte(i, connection->sent + k);
	n = send(connection->fd, chunk, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		return give_up(i, "send");
	if (n <= 0)
		return;
	if (connection->sent == connection->received)
		connection->waiting_since = now_ms();
	connection->sent += (uint64_t)n;
	total.sent += (uint64_t)n;
}

static void note_wait(struct connection *connection)
{
	uint64_t now = now_ms();

	if (now - connection->waiting_since > total.longest_wait_ms)
		total.longest_wait_ms = now - connection->waiting_since;
	connection->waiting_since = now;
}

static void receive_some(unsigned i)
{
	struct connection *connection = &connections[i];
	char chunk[kWindow];
	ssize_t n = recv(connection->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		return give_up(i, n ? "recv" : "closed by the server");
	for (ssize_t k = 0; k < n; k++)
		total.corrupt += chunk[k] != stream_byte(i, connection->received + (uint64_t)k);
	note_wait(connection);
	connection->received += (uint64_t)n;
	total.received += (uint64_t)n;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	SCENARIO_REQUIRE(fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)), "%m");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int connect_all(uint16_t port)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	connections = calloc(count, sizeof(*connections));
	SCENARIO_REQUIRE(connections && epoll >= 0, "%m");
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

		connections[i].fd = connect_to(port);
		SCENARIO_REQUIRE(!epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event), "%m");
	}
	return epoll;
}

// Receives for `ms` milliseconds.
static void receive_for(int epoll, int ms)
{
	struct epoll_event events[64];
	uint64_t end = now_ms() + (uint64_t)ms, now;

	while ((now = now_ms()) < end) {
		int n = epoll_wait(epoll, events, 64, (int)(end - now));

		for (int k = 0; k < n; k++) {
			if (connections[events[k].data.u32].dead)
				epoll_ctl(epoll, EPOLL_CTL_DEL, connections[events[k].data.u32].fd, NULL);
			else
				receive_some(events[k].data.u32);
		}
	}
}

static bool all_answered(bool completely)
{
	for (unsigned i = 0; i < count; i++) {
		const struct connection *connection = &connections[i];

		if (!connection->dead && (completely ? connection->received < connection->sent : !connection->received))
			return false;
	}
	return true;
}

static void talk(int epoll)
{
	bool ready = false;
	unsigned phase = 0;

	while (access("stop", F_OK)) {
		for (unsigned i = phase++ % kPhases; i < count; i += kPhases)
			send_some(i);
		receive_for(epoll, kRoundMs);
		if (!ready && all_answered(false)) {
			ready = true;
			scenario_ready();
		}
	}
	for (uint64_t end = now_ms() + kDrainMs; !all_answered(true) && now_ms() < end;)
		receive_for(epoll, kRoundMs);
}

int main(int argc, char **argv)
{
	bool lossless;

	close_range(3, ~0U, 0);
	scenario_init();
	SCENARIO_REQUIRE(argc > 1, "usage: echo_clients PORT [CONNECTIONS]");
	count = argc > 2 ? (unsigned)atoi(argv[2]) : kDefaultConnections;
	talk(connect_all((uint16_t)atoi(argv[1])));
	lossless = total.sent == total.received && !total.corrupt && !total.resets;
	printf("{\"connections\":%u,\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"corrupt\":%" PRIu64 ",\"resets\":%" PRIu64 ",\"longest_wait_ms\":%" PRIu64 "}\n",
	       count, total.sent, total.received, total.sent - total.received, total.corrupt, total.resets,
	       total.longest_wait_ms);
	return lossless ? 0 : 1;
}
