// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Connections that are being established when the dump comes: one by a request, one by connect(2), one by a request
// from a socket that is bound. argv[1] is the port of somebody who does not answer, argv[2] the flags of the ring,
// argv[3] "refused" if in the end nobody is there.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/socket_name.h"
#include "selftests/scenarios/uring_ring.h"

enum { REQUEST = 1, BOUND, PLAIN, LAST };

static struct io_uring ring;
static struct sockaddr_in bound_to;
static int sockets[LAST], expected;

static int is_told(int what)
{
	struct io_uring_cqe *cqe;
	int told = 0;

	syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	if (io_uring_peek_cqe(&ring, &cqe))
		return 0;
	told = 1 << cqe->user_data;
	SCENARIO_CHECK(cqe->res == expected, "request %d: %d", (int)cqe->user_data, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
	return told | (what == REQUEST ? 0 : is_told(REQUEST));
}

static int is_writable(int fd)
{
	struct pollfd now = {.fd = fd, .events = POLLOUT};

	return poll(&now, 1, 0) == 1;
}

static void check(int round)
{
	struct sockaddr_in name = name_of(sockets[BOUND]);
	int told = 0, err = -1;
	socklen_t size = sizeof(err);

	(void)round;
	SCENARIO_CHECK(expected || !memcmp(&name, &bound_to, sizeof(name)), "another name");
	SCENARIO_CHECK(SCENARIO_EVENTUALLY((told |= is_told(BOUND)) == (1 << REQUEST | 1 << BOUND), 18), "told %x",
		       told);
	ring_expect_nothing(&ring, "after both");
	if (expected)
		return;
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(is_writable(sockets[PLAIN]), 18), "it is not connected");
	SCENARIO_CHECK(!getsockopt(sockets[PLAIN], SOL_SOCKET, SO_ERROR, &err, &size) && !err, "error %d", err);
	for (int what = REQUEST; what < LAST; what++)
		SCENARIO_CHECK(send(sockets[what], "x", 1, MSG_NOSIGNAL) == 1, "socket %d: %m", what);
}

int main(int argc, char **argv)
{
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in any = peer;

	scenario_init();
	peer.sin_port = htons(argc > 1 ? atoi(argv[1]) : 0);
	expected = argc > 3 ? -ECONNREFUSED : 0;
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, argc > 2 ? atoi(argv[2]) : 0), "%m");
	for (int what = REQUEST; what < LAST; what++) {
		struct io_uring_sqe *sqe;
		int kind = what == PLAIN ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_STREAM;

		if (what == PLAIN && expected)
			break;
		sockets[what] = socket(AF_INET, kind, 0);
		SCENARIO_REQUIRE(sockets[what] >= 0, "%m");
		if (what == BOUND)
			SCENARIO_REQUIRE(!bind(sockets[what], (struct sockaddr *)&any, sizeof(any)), "%m");
		if (what == PLAIN) {
			SCENARIO_REQUIRE(connect(sockets[what], (struct sockaddr *)&peer, sizeof(peer)) < 0,
					 "connected");
			continue;
		}
		sqe = ring_sqe(&ring);
		io_uring_prep_connect(sqe, sockets[what], (struct sockaddr *)&peer, sizeof(peer));
		sqe->user_data = what;
		ring_submit(&ring, 1);
	}
	ring_expect_nothing(&ring, "at rest");
	bound_to = name_of(sockets[BOUND]);
	return scenario_main(check);
}
