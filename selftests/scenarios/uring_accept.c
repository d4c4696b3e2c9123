// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Accepts that wait: one that repeats, on a TCP socket; one on a unix socket, with a limit of descriptors of its own;
// and one into a fixed slot, on a socket that only the ring has open. In each round somebody connects to each of them.
// Arguments: flags of the ring; "path": the unix socket has a name in the file system.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum { REPEATING = 1, UNIX, DIRECT };

enum {
	SLOT_UNIX, /* also a descriptor */
	SLOT_LISTENER,
	SLOT_ACCEPTED,
	SLOTS,
	BACKLOG = 9,
	LIMIT = 200, /* of descriptors, while the unix one is submitted */
};

static struct io_uring ring;
static int tcp = -1, local = -1;
static struct sockaddr_in tcp_name, direct_name;
static struct sockaddr_un local_name = {.sun_family = AF_UNIX};
static socklen_t local_size;
static struct sockaddr_in peer_name;
static socklen_t peer_size;

static int listen_on_loopback(struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), idle = 77, one = 1;
	socklen_t size = sizeof(*name);

	*name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SCENARIO_REQUIRE(!setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)), "%m");
	SCENARIO_REQUIRE(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "%m");
	SCENARIO_REQUIRE(!bind(fd, (void *)name, size) && !listen(fd, BACKLOG), "%m");
	SCENARIO_REQUIRE(!getsockname(fd, (void *)name, &size), "%m");
	return fd;
}

static void listen_on_name(bool path)
{
	char *name = local_name.sun_path, directory[sizeof(local_name.sun_path) - sizeof("/socket")];

	local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SCENARIO_REQUIRE(!path || getcwd(directory, sizeof(directory)), "%m");
	if (path)
		snprintf(name, sizeof(local_name.sun_path), "%s/socket", directory);
	else
		snprintf(name + 1, sizeof(local_name.sun_path) - 1, "bpfckpt-%d", getpid());
	local_size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name + !path);
	SCENARIO_REQUIRE(!bind(local, (void *)&local_name, local_size) && !listen(local, BACKLOG), "%m");
	SCENARIO_REQUIRE(!path || !chmod(name, 0640), "%m");
}

/* The accept may happen before connect(2) is back: it takes the lowest number of before. */
static int connect_to(const void *name, socklen_t size, int *lowest)
{
	int fd = socket(((const struct sockaddr *)name)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*lowest = dup(0);
	close(*lowest);
	SCENARIO_REQUIRE(!connect(fd, name, size), "%m");
	return fd;
}

static void arm(int what)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	struct rlimit before, limit;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	switch (what) {
	case REPEATING:
		peer_size = sizeof(peer_name);
		io_uring_prep_multishot_accept(sqe, tcp, (void *)&peer_name, &peer_size, SOCK_CLOEXEC);
		break;
	case UNIX:
		limit.rlim_cur = LIMIT;
		io_uring_prep_accept(sqe, SLOT_UNIX, NULL, NULL, SOCK_NONBLOCK);
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	case DIRECT:
		io_uring_prep_accept_direct(sqe, SLOT_LISTENER, NULL, NULL, 0, SLOT_ACCEPTED);
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	}
	sqe->user_data = what;
	SCENARIO_REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit), "%m");
	ring_submit(&ring, 1);
	SCENARIO_REQUIRE(!setrlimit(RLIMIT_NOFILE, &before), "%m");
}

/* Both ends, and nobody else's. */
static void talk(int client, int server)
{
	char text[8] = "";

	SCENARIO_REQUIRE(send(client, "hello", 5, 0) == 5, "%m");
	SCENARIO_CHECK(recv(server, text, sizeof(text), 0) == 5 && !memcmp(text, "hello", 5), "somebody else's");
	close(client);
	close(server);
}

static void check_repeating(void)
{
	for (int i = 0; i < 2; i++) {
		int lowest, client = connect_to(&tcp_name, sizeof(tcp_name), &lowest), server;
		struct sockaddr_in name;
		socklen_t size = sizeof(name);

		server = ring_expect(&ring, REPEATING, "accept");
		SCENARIO_CHECK(server == lowest, "accepted as %d, not %d", server, lowest);
		getsockname(client, (void *)&name, &size);
		SCENARIO_CHECK(peer_name.sin_port == name.sin_port, "another peer");
		talk(client, server);
	}
}

static void check_unix(void)
{
	int lowest, client = connect_to(&local_name, local_size, &lowest), server;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	SCENARIO_CHECK(!getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid == getpid(),
		       "its peer is %d", peer.pid);
	server = ring_expect(&ring, UNIX, "accept");
	SCENARIO_CHECK(server == lowest, "accepted as %d, not %d", server, lowest);
	talk(client, server);
	arm(UNIX);
}

static void check_direct(void)
{
	int lowest, client = connect_to(&direct_name, sizeof(direct_name), &lowest), none = -1;
	struct io_uring_sqe *sqe;
	char text[8] = "";

	ring_expect_result(&ring, DIRECT, 0);
	SCENARIO_REQUIRE(send(client, "hello", 5, 0) == 5, "%m");
	sqe = ring_sqe(&ring);
	io_uring_prep_recv(sqe, SLOT_ACCEPTED, text, sizeof(text), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = DIRECT;
	ring_submit(&ring, 1);
	ring_expect_result(&ring, DIRECT, 5);
	SCENARIO_REQUIRE(io_uring_register_files_update(&ring, SLOT_ACCEPTED, &none, 1) == 1, "slot");
	close(client);
	arm(DIRECT);
}

static void check_name(void)
{
	struct sockaddr_un name = {0};
	socklen_t size = sizeof(name);
	struct stat file;

	SCENARIO_CHECK(!getsockname(local, (void *)&name, &size) && size == local_size &&
			       !memcmp(&name, &local_name, local_size),
		       "another name");
	if (name.sun_path[0])
		SCENARIO_CHECK(!stat(name.sun_path, &file) && file.st_mode == (S_IFSOCK | 0640), "mode %#o",
			       file.st_mode);
}

static void check(int round)
{
	int idle = 0, listens = 0;
	socklen_t size = sizeof(int);

	(void)round;
	ring_expect_nothing(&ring, "at rest");
	SCENARIO_CHECK(!getsockopt(tcp, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &size) && idle == 77, "TCP_KEEPIDLE %d",
		       idle);
	SCENARIO_CHECK(!getsockopt(tcp, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && listens, "it does not listen");
	check_name();
	check_repeating();
	check_unix();
	check_direct();
	ring_expect_nothing(&ring, "after the round");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? atoi(argv[1]) : 0};
	int slots[SLOTS] = {-1, -1, -1};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	tcp = listen_on_loopback(&tcp_name);
	listen_on_name(argc > 2);
	slots[SLOT_UNIX] = local;
	slots[SLOT_LISTENER] = listen_on_loopback(&direct_name);
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, slots, SLOTS), "files");
	close(slots[SLOT_LISTENER]);
	for (int what = REPEATING; what <= DIRECT; what++)
		arm(what);
	scenario_tell("ring", "%d", ring.ring_fd);
	return scenario_main(check);
}
