// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Zero-copy sends, each of which has a second request for its notification: in chains behind a read that waits and a
// connect(2). argv[1]: flags of the ring; argv[2] "waiting": one that has begun, to a connection that is full; "fixed":
// one of parts of a registered buffer.
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "selftests/scenarios/socket_name.h"
#include "selftests/scenarios/uring_ring.h"

enum { READ = 1, CONNECT, SEND, WAITING = 100 };

#define SEND_VECTORIZED (1U << 5) /* newer than liburing 2.3 */

#define TEXT "sent without a copy"
#define SIZE (int)(sizeof(TEXT) - 1)

static struct io_uring ring;
static int listener, sockets[3], pipes[3][2], chains = 2;
static struct sockaddr_in name;
static char byte, text[] = TEXT;

/* What is sent may be told by a message or a vector, which may be gone before it is sent. */
static void prep_send(struct io_uring_sqe *sqe, int chain, struct msghdr *header, struct iovec *parts)
{
	parts[0] = (struct iovec){text, 7};
	parts[1] = (struct iovec){text + 7, SIZE - 7};
	*header = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
	switch (chain) {
	case 0:
		io_uring_prep_send_zc(sqe, sockets[chain], text, SIZE, 0, 0);
		break;
	case 1:
		io_uring_prep_sendmsg_zc(sqe, sockets[chain], header, 0);
		break;
	case 2:
		io_uring_prep_send_zc(sqe, sockets[chain], parts, 2, 0, 0);
		sqe->ioprio |= SEND_VECTORIZED;
		break;
	}
	sqe->user_data = SEND;
}

static void arm(int chain)
{
	struct msghdr header;
	struct iovec parts[2];
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
	prep_send(ring_sqe(&ring), chain, &header, parts);
	ring_submit(&ring, 3);
	memset(parts, 0xff, sizeof(parts));
	memset(&header, 0xff, sizeof(header));
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
	for (int chain = 0; chain < chains; chain++) {
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

/* Since v6.17; before, what is there is a flag that no send has. */
static int takes_vectors(void)
{
	struct iovec part = {text, 1};
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int pair[2], sent;

	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "%m");
	io_uring_prep_send(sqe, pair[0], &part, 1, 0);
	sqe->ioprio |= SEND_VECTORIZED;
	sqe->user_data = SEND;
	ring_submit(&ring, 1);
	sent = ring_expect(&ring, SEND, "vector");
	SCENARIO_CHECK(sent == 1 || sent == -EINVAL, "%d", sent);
	close(pair[0]);
	close(pair[1]);
	return sent == 1;
}

/* Behind a read that waits. */
static void arm_fixed(void)
{
	static char buffer[4096] __attribute__((aligned(4096)));
	static struct iovec whole = {buffer, sizeof(buffer)}, part = {buffer + 100, 7};
	static struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	SCENARIO_REQUIRE(!io_uring_register_buffers(&ring, &whole, 1), "cannot register");
	sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	io_uring_prep_read(sqe, pipes[0][0], &byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = READ;
	sqe = ring_sqe(&ring);
	io_uring_prep_sendmsg_zc(sqe, sockets[0], &header, 0);
	sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
	sqe->user_data = SEND;
	ring_submit(&ring, 2);
	if (*ring.cq.ktail != *ring.cq.khead)
		scenario_skip("messages are not sent from registered buffers by this kernel (Linux 6.15)");
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
	for (int i = 0; i < 3; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	if (argc > 2) {
		if (!strcmp(argv[2], "fixed"))
			arm_fixed();
		else
			wait_for_room();
		return scenario_main(check_nothing);
	}
	chains += takes_vectors();
	for (int chain = 0; chain < chains; chain++)
		arm(chain);
	return scenario_main(check);
}
