// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// TCP sockets that have never been connected: new, bound, with options; each round connects one and makes it anew.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"
#include "selftests/scenarios/socket_name.h"

static int listener, fresh, bound, ipv6;
static struct sockaddr_in address, bound_to;

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	SCENARIO_CHECK(!getsockopt(fd, level, name, &value, &size), "%m");
	return value;
}

static int short_events(int fd)
{
	struct pollfd now = {.fd = fd, .events = POLLIN | POLLOUT};

	poll(&now, 1, 0);
	return now.revents;
}

static void make_fresh(void)
{
	int one = 1, idle = 77;

	fresh = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	SCENARIO_REQUIRE(fresh >= 0, "%m");
	setsockopt(fresh, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fresh, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void check(int round)
{
	struct sockaddr_in name = name_of(fresh);
	int server;

	(void)round;
	SCENARIO_CHECK(!name.sin_port && !name.sin_addr.s_addr, "it has a name");
	SCENARIO_CHECK(option(fresh, SOL_SOCKET, SO_KEEPALIVE) == 1, "SO_KEEPALIVE");
	SCENARIO_CHECK(option(fresh, IPPROTO_TCP, TCP_KEEPIDLE) == 77, "TCP_KEEPIDLE");
	SCENARIO_CHECK(option(fresh, IPPROTO_TCP, TCP_NODELAY) == 1, "TCP_NODELAY");
	SCENARIO_CHECK(option(ipv6, IPPROTO_IPV6, IPV6_V6ONLY) == 1, "IPV6_V6ONLY");
	SCENARIO_CHECK(short_events(fresh) == (POLLOUT | POLLHUP), "events %x", short_events(fresh));
	name = name_of(bound);
	SCENARIO_CHECK(!memcmp(&name, &bound_to, sizeof(name)), "another name");
	SCENARIO_CHECK(option(bound, SOL_SOCKET, SO_REUSEADDR) == 0, "SO_REUSEADDR");
	connect(fresh, (struct sockaddr *)&address, sizeof(address));
	server = accept(listener, NULL, NULL);
	SCENARIO_REQUIRE(server >= 0, "%m");
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(short_events(fresh) == POLLOUT, 5), "events %x", short_events(fresh));
	close(fresh);
	close(server);
	make_fresh();
}

int main(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int one = 1;

	scenario_init();
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	SCENARIO_REQUIRE(!bind(listener, (struct sockaddr *)&any, sizeof(any)) && !listen(listener, 8), "%m");
	address = name_of(listener);
	bound = socket(AF_INET, SOCK_STREAM, 0);
	SCENARIO_REQUIRE(!bind(bound, (struct sockaddr *)&any, sizeof(any)), "%m");
	bound_to = name_of(bound);
	ipv6 = socket(AF_INET6, SOCK_STREAM, 0);
	if (ipv6 < 0)
		scenario_skip("no IPv6");
	setsockopt(ipv6, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	make_fresh();
	return scenario_main(check);
}
