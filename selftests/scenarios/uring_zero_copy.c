// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Zero-copy sends, each of which has a second request for its notification: in chains behind a read that waits and a
// connect(2). argv[1]: flags of the ring; argv[2] "waiting": one that has begun, to a connection that is full.
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "selftests/scenarios/socket_name.h"
#include "selftests/scenarios/uring_ring.h"

enum { READ = 1, CONNECT, SEND, WAITING = 100 };

#define TEXT "sent without a copy"
#define SIZE (int)(sizeof(TEXT) - 1)

static struct io_uring ring;
static int listener, sockets[2], pipes[2][2];
static struct sockaddr_in name;
static char byte, text[] = TEXT;

/* The second one sends a message of two parts, whose header may be gone before it is sent. */
static void arm(int chain)
{
	static struct msghdr header;
	static struct iovec parts[2];
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	sockets[chain] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SCENARIO_REQUIRE(sockets[chain] >= 0, "%m");
	io_uring_prep_read(sqe, pipes[chain][0], &byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = READ;
	sqe = ring_sqe(&ring);
	io_uring_prep_connect(sqe, sockets[chain], (struct sockaddr *)&name, sizeof(name));
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = CONNECT;
	sqe = ring_sqe(&ring);
	parts[0] = (struct iovec){text, 7};
	parts[1] = (struct iovec){text + 7, SIZE - 7};
	header = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
	if (chain)
		io_uring_prep_sendmsg_zc(sqe, sockets[chain], &header, 0);
	else
		io_uring_prep_send_zc(sqe, sockets[chain], text, SIZE, 0, 0);
	sqe->user_data = SEND;
	ring_submit(&ring, 3);
	if (!(ring.flags & IORING_SETUP_SQPOLL)) { /* its thread may still have to read them */
		memset(parts, 0xff, sizeof(parts));
		memset(&header, 0xff, sizeof(header));
	}
}

static void expect(int what, int result, unsigned flags)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	int err;

	do {
		err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
	} while (err == -EINTR);
	SCENARIO_REQUIRE(!err, "%d: no completion: %s", what, strerror(-err));
	SCENARIO_CHECK((int)cqe->user_data == what && cqe->res == result && cqe->flags == flags,
		       "%llu: %d, flags %x, in place of %d: %d, flags %x", (unsigned long long)cqe->user_data, cqe->res,
		       cqe->flags, what, result, flags);
	io_uring_cqe_seen(&ring, cqe);
}

static void expect_chain(int chain)
{
	char received[SIZE];
	int accepted;

	put(pipes[chain][1], "x");
	expect(READ, 1, 0);
	expect(CONNECT, 0, 0);
	expect(SEND, SIZE, IORING_CQE_F_MORE);
	accepted = accept(listener, NULL, NULL);
	SCENARIO_REQUIRE(accepted >= 0 && recv(accepted, received, SIZE, MSG_WAITALL) == SIZE, "%m");
	SCENARIO_CHECK(!memcmp(received, TEXT, SIZE), "chain %d: \"%.*s\"", chain, SIZE, received);
	expect(SEND, 0, IORING_CQE_F_NOTIF);
	close(accepted);
	close(sockets[chain]);
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
	for (int chain = 0; chain < 2; chain++) {
		expect_chain(chain);
		arm(chain);
	}
	ring_expect_nothing(&ring, "after");
}

static void check_nothing(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
}

/* Nobody reads what is sent. */
static void wait_for_room(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	static char filling[4096];

	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SCENARIO_REQUIRE(!connect(sockets[0], (struct sockaddr *)&name, sizeof(name)), "%m");
	sockets[1] = accept(listener, NULL, NULL);
	SCENARIO_REQUIRE(sockets[1] >= 0, "%m");
	for (int idle = 0; idle < 20; idle++) /* until the kernel has made what room it will */
		if (send(sockets[0], filling, sizeof(filling), MSG_DONTWAIT) > 0)
			idle = 0;
		else
			scenario_sleep_ms(5);
	io_uring_prep_send_zc(sqe, sockets[0], text, SIZE, 0, 0);
	sqe->user_data = WAITING;
	ring_submit(&ring, 1);
}

int main(int argc, char **argv)
{
	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, argc > 1 ? (unsigned)atoi(argv[1]) : 0), "%m");
	if (!ring_knows(&ring, IORING_OP_SENDMSG_ZC))
		scenario_skip("no IORING_OP_SENDMSG_ZC");
	name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Connections that were closed may stay for a minute, in the way of a restore. */
	SCENARIO_REQUIRE(!setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "%m");
	SCENARIO_REQUIRE(!bind(listener, (struct sockaddr *)&name, sizeof(name)) && !listen(listener, 4), "%m");
	name = name_of(listener);
	SCENARIO_REQUIRE(!pipe(pipes[0]) && !pipe(pipes[1]), "%m");
	if (argc > 2) {
		wait_for_room();
		return scenario_main(check_nothing);
	}
	arm(0);
	arm(1);
	return scenario_main(check);
}
