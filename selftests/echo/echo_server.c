// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A TCP echo server on io_uring, as people write them: one ring, multishot accept straight into fixed file slots
// (connections have no descriptor), one recv or send per connection in flight, a tick every second, SIGTERM through a
// signalfd.
//
//	echo_server [MAX_CONNECTIONS]
//
// Listens on a free port of 127.0.0.1 and writes it to the file `ready` in its working directory ("port N"). At its end
// it prints what it did.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

enum {
	kRingEntries = 256,
	kBufferSize = 16384,
	kDefaultConnections = 256,
};

// In the upper half of user_data; the slot is in the lower half.
enum operation { kAccept = 1, kRecv, kSend, kClose, kTick, kSignal };

struct connection {
	uint32_t length, sent; // of what is in the buffer
	char buffer[kBufferSize];
};

struct server {
	struct io_uring ring;
	struct connection *connections;
	unsigned max_connections;
	int listener, signals;
	bool stopping;
	struct __kernel_timespec tick;
	uint64_t accepted, open, bytes, ticks, errors;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "echo_server: %s: %s\n", what, strerror(error));
	exit(1);
}

static struct io_uring_sqe *get_sqe(struct server *server)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

	if (!sqe) {
		io_uring_submit(&server->ring);
		sqe = io_uring_get_sqe(&server->ring);
	}
	if (!sqe)
		die("submission queue", EBUSY);
	return sqe;
}

// After the prep function, which clears user_data in some versions of liburing.
static void tag(struct io_uring_sqe *sqe, enum operation operation, uint32_t slot)
{
	sqe->user_data = (uint64_t)operation << 32 | slot;
}

static void arm_accept(struct server *server)
{
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_multishot_accept_direct(sqe, server->listener, NULL, NULL, 0);
	tag(sqe, kAccept, 0);
}

static void arm_recv(struct server *server, uint32_t slot)
{
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_recv(sqe, (int)slot, server->connections[slot].buffer, kBufferSize, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	tag(sqe, kRecv, slot);
}

static void arm_send(struct server *server, uint32_t slot)
{
	struct connection *connection = &server->connections[slot];
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_send(sqe, (int)slot, connection->buffer + connection->sent, connection->length - connection->sent,
			   MSG_NOSIGNAL);
	sqe->flags |= IOSQE_FIXED_FILE;
	tag(sqe, kSend, slot);
}

static void arm_close(struct server *server, uint32_t slot)
{
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_close_direct(sqe, slot);
	tag(sqe, kClose, slot);
}

static void arm_tick(struct server *server)
{
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_timeout(sqe, &server->tick, 0, 0);
	tag(sqe, kTick, 0);
}

static void arm_signal(struct server *server)
{
	struct io_uring_sqe *sqe = get_sqe(server);

	io_uring_prep_poll_add(sqe, server->signals, POLLIN);
	tag(sqe, kSignal, 0);
}

static void failed(struct server *server, const char *what, uint32_t slot, int error)
{
	server->errors++;
	fprintf(stderr, "echo_server: %s on slot %u: %s\n", what, slot, strerror(error));
}

static void on_accept(struct server *server, int slot, unsigned flags)
{
	if (slot >= 0) {
		server->accepted++;
		server->open++;
		arm_recv(server, (uint32_t)slot);
	} else {
		failed(server, "accept", 0, -slot);
	}
	if (!(flags & IORING_CQE_F_MORE))
		arm_accept(server);
}

static void on_recv(struct server *server, uint32_t slot, int res)
{
	struct connection *connection = &server->connections[slot];

	if (res <= 0) {
		if (res < 0 && res != -ECONNRESET)
			failed(server, "recv", slot, -res);
		arm_close(server, slot);
		return;
	}
	connection->length = (uint32_t)res;
	connection->sent = 0;
	arm_send(server, slot);
}

static void on_send(struct server *server, uint32_t slot, int res)
{
	struct connection *connection = &server->connections[slot];

	if (res < 0) {
		if (res != -ECONNRESET && res != -EPIPE)
			failed(server, "send", slot, -res);
		arm_close(server, slot);
		return;
	}
	server->bytes += (uint64_t)res;
	connection->sent += (uint32_t)res;
	if (connection->sent < connection->length)
		arm_send(server, slot);
	else
		arm_recv(server, slot);
}

static void on_tick(struct server *server, int res)
{
	if (res != -ETIME)
		failed(server, "tick", 0, -res);
	server->ticks++;
	arm_tick(server);
}

static void dispatch(struct server *server, const struct io_uring_cqe *cqe)
{
	uint32_t slot = (uint32_t)cqe->user_data;

	switch ((enum operation)(cqe->user_data >> 32)) {
	case kAccept:
		on_accept(server, cqe->res, cqe->flags);
		break;
	case kRecv:
		on_recv(server, slot, cqe->res);
		break;
	case kSend:
		on_send(server, slot, cqe->res);
		break;
	case kClose:
		server->open--;
		break;
	case kTick:
		on_tick(server, cqe->res);
		break;
	case kSignal:
		server->stopping = true;
		break;
	default:
		failed(server, "unknown completion", slot, EPROTO);
	}
}

static void serve(struct server *server)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen;

	while (!server->stopping) {
		int error = io_uring_submit_and_wait(&server->ring, 1);

		// The server blocks its signals: an EINTR is not its own.
		if (error < 0)
			failed(server, "io_uring_enter", 0, -error);
		seen = 0;
		io_uring_for_each_cqe(&server->ring, head, cqe)
		{
			dispatch(server, cqe);
			seen++;
		}
		io_uring_cq_advance(&server->ring, seen);
	}
}

static uint16_t start_listening(struct server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(server->listener, 1024) < 0 ||
	    getsockname(server->listener, (struct sockaddr *)&address, &length) < 0)
		die("listen", errno);
	return ntohs(address.sin_port);
}

static void start_signals(struct server *server)
{
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigprocmask(SIG_BLOCK, &end, NULL);
	server->signals = signalfd(-1, &end, SFD_CLOEXEC);
	if (server->signals < 0)
		die("signalfd", errno);
}

int main(int argc, char **argv)
{
	static struct server server = {.tick = {.tv_sec = 1}};
	int error;

	// As a daemon does; a pipe of the caller would be shared with it.
	close_range(3, ~0U, 0);
	scenario_init();
	server.max_connections = argc > 1 ? (unsigned)atoi(argv[1]) : kDefaultConnections;
	server.connections = calloc(server.max_connections, sizeof(*server.connections));
	if (!server.connections)
		die("connections", ENOMEM);
	start_signals(&server);
	scenario_tell("port", "%u", start_listening(&server));
	error = io_uring_queue_init(kRingEntries, &server.ring, 0);
	if (!error)
		error = io_uring_register_files_sparse(&server.ring, server.max_connections);
	if (error)
		scenario_skip("io_uring with fixed files: %s", strerror(-error));
	arm_accept(&server);
	arm_tick(&server);
	arm_signal(&server);
	scenario_ready();
	serve(&server);
	printf("{\"accepted\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"ticks\":%" PRIu64 ",\"errors\":%" PRIu64 "}\n",
	       server.accepted, server.bytes, server.ticks, server.errors);
	return server.errors ? 1 : 0;
}
