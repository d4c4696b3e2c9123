// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Options of unix socketpairs: those that come back; with an argument one that is refused.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2], packets[2];

static void set(int fd, int option, int value)
{
	SCENARIO_REQUIRE(!setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)), "option %d: %s", option,
			 strerror(errno));
}

static void check_option(int round, int fd, int option, int wanted)
{
	int value = -2;
	socklen_t size = sizeof(value);

	SCENARIO_CHECK(!getsockopt(fd, SOL_SOCKET, option, &value, &size) && value == wanted,
		       "round %d: option %d is %d, not %d", round, option, value, wanted);
}

static void check(int round)
{
	struct linger linger = {};
	socklen_t size = sizeof(linger);

	check_option(round, pair[0], SO_MARK, 77);
	check_option(round, pair[0], SO_RCVLOWAT, 5);
	check_option(round, pair[0], SO_PRIORITY, 4);
	check_option(round, pair[0], SO_KEEPALIVE, 1);
	check_option(round, pair[0], SO_BROADCAST, 1);
	check_option(round, pair[0], SO_REUSEADDR, 1);
	check_option(round, pair[0], SO_PEEK_OFF, 0);
	SCENARIO_CHECK(!getsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, &size) && linger.l_onoff == 1 &&
			       linger.l_linger == 9,
		       "round %d: linger %d %d", round, linger.l_onoff, linger.l_linger);
	check_option(round, packets[0], SO_PASSCRED, 1);
	check_option(round, packets[0], SO_PASSSEC, 1);
	check_option(round, packets[0], SO_PEEK_OFF, -1);
	for (int i = 0; i < 2; i++)
		check_option(round, i ? packets[1] : pair[1], SO_MARK, 0);
}

/* Its peer has gone, and has not read all: ECONNRESET waits for the next call. */
static void reset_pair(void)
{
	int broken[2];

	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, broken) && write(broken[1], "x", 1) == 1 &&
				 !close(broken[0]),
			 "errno %d", errno);
}

static void set_refused(const char *which)
{
	struct sock_filter accept[] = {{BPF_RET | BPF_K, 0, 0, 0xffff}};
	struct sock_fprog program = {1, accept};

	if (!strcmp(which, "timestamp"))
		set(pair[1], SO_TIMESTAMP, 1);
	else if (!strcmp(which, "error"))
		reset_pair();
	else if (!strcmp(which, "filter"))
		SCENARIO_REQUIRE(!setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), "%s",
				 strerror(errno));
}

int main(int argc, char **argv)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 9};

	scenario_init();
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "errno %d", errno);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), "errno %d", errno);
	set(pair[0], SO_MARK, 77);
	set(pair[0], SO_RCVLOWAT, 5);
	set(pair[0], SO_PRIORITY, 4);
	set(pair[0], SO_KEEPALIVE, 1);
	set(pair[0], SO_BROADCAST, 1);
	set(pair[0], SO_REUSEADDR, 1);
	set(pair[0], SO_PEEK_OFF, 0);
	SCENARIO_REQUIRE(!setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), "errno %d", errno);
	set(packets[0], SO_PASSCRED, 1);
	set(packets[0], SO_PASSSEC, 1);
	if (argc > 1)
		set_refused(argv[1]);
	return scenario_main(check);
}
