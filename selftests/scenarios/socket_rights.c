// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A descriptor in flight (SCM_RIGHTS) in the queue of a unix socket.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2];

static void send_fd(int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec data = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	SCENARIO_REQUIRE(sendmsg(pair[0], &message, 0) == 1, "errno %d", errno);
}

static void check(int round)
{
	char byte;

	SCENARIO_CHECK(recv(pair[1], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && byte == 'x', "round %d: errno %d",
		       round, errno);
}

int main(void)
{
	int fd;

	scenario_init();
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "errno %d", errno);
	fd = eventfd(0, 0);
	send_fd(fd);
	close(fd);
	scenario_tell("receiver", "%d", pair[1]);
	return scenario_main(check);
}
