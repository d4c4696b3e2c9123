// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that wait for another process: an accept, a waitid, an open of a FIFO in io-wq (by a path longer than one
// record holds), and a completion that another ring has sent to one whose thread does not fetch it.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum {
	ACCEPT = 1,
	WAITID,
	OPEN,
	SEND_MESSAGE,
	MESSAGE,
};

/* Newer than liburing 2.3. */
#define OP_WAITID 50

static struct io_uring ring, receiver;
static int listener, child_pipe[2] = {-1, -1};
static pid_t child;
static siginfo_t child_info;
static char fifo_path[800];

static struct sockaddr_un address(void)
{
	return (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = "socket"};
}

static void make_listener(void)
{
	struct sockaddr_un name = address();

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SCENARIO_REQUIRE(!bind(listener, (void *)&name, sizeof(name)) && !listen(listener, 4), "%m");
}

/* Three directories with names of 200 letters. */
static void make_fifo(void)
{
	for (int depth = 0; depth < 3; depth++) {
		memset(fifo_path + strlen(fifo_path), 'a' + depth, 200);
		SCENARIO_REQUIRE(!mkdir(fifo_path, 0700), "%m");
		strcat(fifo_path, "/");
	}
	strcat(fifo_path, "fifo");
	SCENARIO_REQUIRE(!mkfifo(fifo_path, 0600), "%m");
}

static void arm_accept(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
	sqe->user_data = ACCEPT;
	ring_submit(&ring, 1);
}

static void arm_waitid(void)
{
	struct io_uring_sqe *sqe;
	char byte;

	SCENARIO_REQUIRE(!pipe(child_pipe), "%m");
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (!child) {
		close(child_pipe[1]);
		_exit(read(child_pipe[0], &byte, 1) == 1 ? 7 : 1);
	}
	close(child_pipe[0]);
	sqe = ring_sqe(&ring);
	io_uring_prep_rw(OP_WAITID, sqe, child, NULL, P_PID, (unsigned long)&child_info);
	sqe->file_index = WEXITED;
	sqe->user_data = WAITID;
	ring_submit(&ring, 1);
}

static void arm_open(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_openat(sqe, AT_FDCWD, fifo_path, O_RDONLY | O_CLOEXEC, 0);
	sqe->flags |= IOSQE_ASYNC;
	sqe->user_data = OPEN;
	ring_submit(&ring, 1);
}

/* It stays in the receiver's task work: only its own thread's io_uring_enter() posts it. */
static void send_message(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_msg_ring(sqe, receiver.ring_fd, 17, MESSAGE, 0);
	sqe->user_data = SEND_MESSAGE;
	ring_submit(&ring, 1);
	SCENARIO_CHECK(ring_expect(&ring, SEND_MESSAGE, "sender") == 0, "message was not sent");
}

static void check_accept(void)
{
	struct sockaddr_un name = address();
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;

	SCENARIO_REQUIRE(!connect(client, (void *)&name, sizeof(name)), "%m");
	accepted = ring_expect(&ring, ACCEPT, "accept");
	SCENARIO_CHECK(accepted >= 0, "accept: %d", accepted);
	close(accepted);
	close(client);
	arm_accept();
}

static void check_waitid(void)
{
	SCENARIO_REQUIRE(write(child_pipe[1], "x", 1) == 1, "%m");
	SCENARIO_CHECK(ring_expect(&ring, WAITID, "waitid") == 0, "waitid");
	SCENARIO_CHECK(child_info.si_pid == child && child_info.si_status == 7, "pid %d, status %d", child_info.si_pid,
		       child_info.si_status);
	close(child_pipe[1]);
	arm_waitid();
}

static void check_open(void)
{
	int writer = open(fifo_path, O_WRONLY | O_CLOEXEC), reader;

	SCENARIO_REQUIRE(writer >= 0, "%m");
	reader = ring_expect(&ring, OPEN, "open");
	SCENARIO_CHECK(reader >= 0, "open: %d", reader);
	close(writer);
	close(reader);
	arm_open();
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "at rest");
	check_accept();
	check_waitid();
	check_open();
	SCENARIO_CHECK(ring_expect(&receiver, MESSAGE, "message") == 17, "message");
	ring_expect_nothing(&receiver, "one message");
	send_message();
	ring_expect_nothing(&ring, "after the round");
}

int main(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};

	scenario_init();
	make_listener();
	make_fifo();
	SCENARIO_REQUIRE(!io_uring_queue_init(16, &ring, 0), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &receiver, &params), "%m");
	if (!ring_knows(&ring, OP_WAITID))
		scenario_skip("no IORING_OP_WAITID (v6.7)");
	arm_accept();
	arm_waitid();
	arm_open();
	send_message();
	scenario_tell("ring", "%d", ring.ring_fd);
	scenario_tell("receiver", "%d", receiver.ring_fd);
	scenario_tell("path", "%s", fifo_path);
	scenario_tell("child", "%d", child);
	return scenario_main(check);
}
