// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Inet sockets: a TCP listener, a connection with unread data in both directions, one half closed, and UDP. With the
// argument "listen" only the listener.
#include "selftests/scenarios/scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener, client, server, half, half_server, udp;
static struct sockaddr_in address;

static int connect_one(int *accepted)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	SCENARIO_REQUIRE(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "errno %d", errno);
	*accepted = accept(listener, NULL, NULL);
	SCENARIO_REQUIRE(*accepted >= 0, "errno %d", errno);
	return fd;
}

static void open_connections(void)
{
	int one = 1, idle = 77;

	client = connect_one(&server);
	SCENARIO_REQUIRE(send(client, "to server", 9, 0) == 9 && send(server, "to", 2, 0) == 2, "errno %d", errno);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	half = connect_one(&half_server);
	shutdown(half, SHUT_WR);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	address.sin_port = 0;
	SCENARIO_REQUIRE(bind(udp, (struct sockaddr *)&address, sizeof(address)) == 0, "errno %d", errno);
}

static void check(int round)
{
	char text[16];

	if (!client)
		return;
	SCENARIO_CHECK(recv(server, text, 16, MSG_PEEK) == 9 && !memcmp(text, "to server", 9), "round %d", round);
	SCENARIO_CHECK(recv(client, text, 16, MSG_PEEK) == 2 && !memcmp(text, "to", 2), "round %d", round);
	SCENARIO_CHECK(recv(half_server, text, 16, 0) == 0, "round %d: not half closed", round);
}

int main(int argc, char **argv)
{
	socklen_t length = sizeof(address);

	(void)argv;
	scenario_init();
	listener = socket(AF_INET, SOCK_STREAM, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SCENARIO_REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0, "errno %d", errno);
	SCENARIO_REQUIRE(listen(listener, 17) == 0, "errno %d", errno);
	getsockname(listener, (struct sockaddr *)&address, &length);
	scenario_tell("port", "%d", ntohs(address.sin_port));
	scenario_tell("listener", "%d", listener);
	if (argc == 1)
		open_connections();
	scenario_tell("client", "%d", client);
	scenario_tell("server", "%d", server);
	scenario_tell("half", "%d", half);
	scenario_tell("udp", "%d", udp);
	return scenario_main(check);
}
