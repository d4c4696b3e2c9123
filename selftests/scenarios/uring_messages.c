// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Messages that wait to be received or sent, a wait for a child, a chain of operations that begin later, and what a
// drain holds back, messages of one ring to another: each happens once in each round. Headers, iovecs and paths are
// overwritten as soon as the kernel has them. Arguments: flags of the ring.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

enum {
	RECVMSG = 1,
	SENDMSG,
	WAITID,
	VICTIM, /* to be cancelled by the chain */
	CHAIN_READ,
	CHAIN_CANCEL,
	CHAIN_OPEN,
	CHAIN_LAST,
	DRAIN_POLL,
	DRAINED,
	BEHIND,
	SENDER,
	TIMED_OUT, /* DEFER_TASKRUN: its timeout has expired, and nobody has fetched that */
	ITS_TIMEOUT,
	LATE, /* DEFER_TASKRUN: received before the dump, and nobody has fetched the completion */
	LAST,
};

/* Of a ring whose thread does not fetch what has come: first timeouts that have expired, then messages of another ring.
 */
#define LATE_ONES 6

/* Newer than liburing 2.3. */
#define OP_WAITID     50
#define DEFER_TASKRUN (1U << 13)

/* A header in the program's memory, to which the results of a receive go back. */
struct receive {
	int pair[2];
	struct msghdr header;
	char bytes[2][16], control[64];
	struct sockaddr_storage name;
};

static struct io_uring ring, drained, receiver;
static unsigned flags;
static struct receive now, late;
static int send_pair[2], pipes[LAST][2], child_pipe[2] = {-1, -1};
static pid_t child;
static siginfo_t child_info;
static char byte[LAST];
static unsigned late_ones[LATE_ONES], usual[LATE_ONES];

static void submit(struct io_uring *to, struct io_uring_sqe *sqe, int what, int count)
{
	sqe->user_data = what;
	ring_submit(to, count);
}

/* As many completions, in any order: their results by user_data. */
static void collect(struct io_uring *from, int count, int *results)
{
	int seen[LAST] = {0};

	for (int i = 0; i < count; i++) {
		struct io_uring_cqe *cqe = NULL;

		SCENARIO_REQUIRE(!io_uring_wait_cqe(from, &cqe) && cqe->user_data < LAST, "no completion");
		SCENARIO_CHECK(!seen[cqe->user_data]++, "%d is told twice", (int)cqe->user_data);
		results[cqe->user_data] = cqe->res;
		io_uring_cqe_seen(from, cqe);
	}
}

static void arm_receive(struct receive *receive, int what)
{
	struct iovec *iovecs = calloc(2, sizeof(*iovecs));

	iovecs[0] = (struct iovec){receive->bytes[0], 4};
	iovecs[1] = (struct iovec){receive->bytes[1], 16};
	receive->header = (struct msghdr){
		.msg_name = &receive->name,
		.msg_namelen = sizeof(receive->name),
		.msg_iov = iovecs,
		.msg_iovlen = 2,
		.msg_control = receive->control,
		.msg_controllen = sizeof(receive->control),
		.msg_flags = 0x5a,
	};
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_recvmsg(sqe, receive->pair[0], &receive->header, MSG_CMSG_CLOEXEC);
	submit(&ring, sqe, what, 1);
	memset(iovecs, 0xff, 2 * sizeof(*iovecs));
	free(iovecs);
	receive->header.msg_iov = (void *)1;
	receive->header.msg_iovlen = 77;
	receive->header.msg_control = (void *)2;
}

static void check_received(struct receive *receive, int what)
{
	SCENARIO_CHECK(!memcmp(receive->bytes[0], "0123", 4) && !memcmp(receive->bytes[1], "456789", 6),
		       "received elsewhere");
	SCENARIO_CHECK(receive->header.msg_flags == MSG_CMSG_CLOEXEC && !receive->header.msg_namelen &&
			       !receive->header.msg_controllen,
		       "flags %#x, name of %u, control of %zu", receive->header.msg_flags, receive->header.msg_namelen,
		       receive->header.msg_controllen);
	SCENARIO_CHECK(receive->header.msg_iov == (void *)1 && receive->header.msg_iovlen == 77 &&
			       receive->header.msg_control == (void *)2,
		       "what the program had put into the header is gone");
	memset(receive->bytes, 0, sizeof(receive->bytes));
	arm_receive(receive, what);
}

/* Behind as much as fits. */
static void arm_send(void)
{
	struct iovec iovecs[2] = {{"se", 2}, {"nt", 2}};
	struct msghdr header = {.msg_iov = iovecs, .msg_iovlen = 2};
	struct io_uring_sqe *sqe;

	while (send(send_pair[1], "fill", 4, MSG_DONTWAIT) == 4)
		;
	sqe = ring_sqe(&ring);
	io_uring_prep_sendmsg(sqe, send_pair[1], &header, 0);
	submit(&ring, sqe, SENDMSG, 1);
	memset(iovecs, 0xff, sizeof(iovecs));
	memset(&header, 0xff, sizeof(header));
}

static void check_send(void)
{
	char text[4] = "";

	do {
		SCENARIO_REQUIRE(recv(send_pair[0], text, 4, 0) == 4, "%m");
		SCENARIO_CHECK(!memcmp(text, "fill", 4) || !memcmp(text, "sent", 4), "something else is in the queue");
		/* Where its thread has to fetch it, the message goes out when it does. */
		syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	} while (memcmp(text, "sent", 4));
	ring_expect_result(&ring, SENDMSG, 4);
	arm_send();
}

static void arm_waitid(void)
{
	struct io_uring_sqe *sqe;

	if (!ring_knows(&ring, OP_WAITID))
		return;
	SCENARIO_REQUIRE(!pipe(child_pipe), "%m");
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (!child) {
		close(child_pipe[1]);
		_exit(read(child_pipe[0], byte, 1) == 1 ? 7 : 1);
	}
	close(child_pipe[0]);
	sqe = ring_sqe(&ring);
	io_uring_prep_rw(OP_WAITID, sqe, child, NULL, P_PID, (unsigned long)&child_info);
	sqe->file_index = WEXITED;
	submit(&ring, sqe, WAITID, 1);
}

static void check_waitid(void)
{
	if (!child)
		return;
	put(child_pipe[1], "x");
	ring_expect_result(&ring, WAITID, 0);
	SCENARIO_CHECK(child_info.si_pid == child && child_info.si_status == 7, "pid %d, status %d", child_info.si_pid,
		       child_info.si_status);
	close(child_pipe[1]);
	arm_waitid();
}

static struct io_uring_sqe *next_of_chain(struct io_uring_sqe *sqe, int what)
{
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = what;
	return ring_sqe(&ring);
}

static void arm_chain(void)
{
	char path[] = "opened";
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_poll_add(sqe, pipes[VICTIM][0], POLLIN);
	submit(&ring, sqe, VICTIM, 1);
	sqe = ring_sqe(&ring);
	io_uring_prep_read(sqe, pipes[CHAIN_READ][0], &byte[CHAIN_READ], 1, 0);
	sqe = next_of_chain(sqe, CHAIN_READ);
	io_uring_prep_cancel64(sqe, VICTIM, 0);
	sqe = next_of_chain(sqe, CHAIN_CANCEL);
	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	sqe = next_of_chain(sqe, CHAIN_OPEN);
	io_uring_prep_fsync(sqe, 1, IORING_FSYNC_DATASYNC);
	submit(&ring, sqe, CHAIN_LAST, 4);
	memset(path, 0xff, sizeof(path));
}

static void check_chain(void)
{
	int lowest = dup(0), results[LAST];

	close(lowest);
	put(pipes[CHAIN_READ][1], "x");
	collect(&ring, 5, results);
	SCENARIO_CHECK(results[CHAIN_READ] == 1 && !results[CHAIN_CANCEL] && results[VICTIM] == -ECANCELED,
		       "read %d, cancelled %d and %d", results[CHAIN_READ], results[CHAIN_CANCEL], results[VICTIM]);
	SCENARIO_CHECK(results[CHAIN_OPEN] == lowest, "opened as %d, not %d", results[CHAIN_OPEN], lowest);
	close(results[CHAIN_OPEN]);
	/* Standard output is a pipe or the like, or a file. */
	SCENARIO_CHECK(!results[CHAIN_LAST] || results[CHAIN_LAST] == -EINVAL, "sync: %d", results[CHAIN_LAST]);
	arm_chain();
}

/* A poll, a drain behind it, and what comes after the drain. */
static void arm_drained(void)
{
	struct io_uring_sqe *sqe;

	ring_prep_drain(&drained, pipes[DRAIN_POLL][0], DRAIN_POLL, DRAINED);
	sqe = ring_sqe(&drained);
	io_uring_prep_read(sqe, pipes[BEHIND][0], &byte[BEHIND], 1, 0);
	submit(&drained, sqe, BEHIND, 3);
}

static void check_drained(void)
{
	int results[LAST];

	put(pipes[BEHIND][1], "b");
	ring_expect_nothing(&drained, "before the drain");
	put(pipes[DRAIN_POLL][1], "x");
	ring_expect_result(&drained, DRAIN_POLL, POLLIN);
	/* Up to 6.12, what comes after a drain may be done before it. */
	collect(&drained, 2, results);
	SCENARIO_CHECK(!results[DRAINED] && results[BEHIND] == 1, "drained %d, then %d", results[DRAINED],
		       results[BEHIND]);
	SCENARIO_CHECK(byte[BEHIND] == 'b', "read something else");
	take(pipes[DRAIN_POLL][0]);
	ring_expect_nothing(&drained, "after the drain");
	arm_drained();
}

static void wait_a_while(void)
{
	struct timespec while_it_expires = {.tv_nsec = 10 * 1000 * 1000};

	nanosleep(&while_it_expires, NULL);
}

static void send_late_ones(void)
{
	struct __kernel_timespec soon = {.tv_nsec = 1};

	for (int i = 0; i < LATE_ONES / 2; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&receiver);

		io_uring_prep_timeout(sqe, &soon, 0, 0);
		submit(&receiver, sqe, i, 1);
		wait_a_while();
	}
	for (int i = LATE_ONES / 2; i < LATE_ONES; i++) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		io_uring_prep_msg_ring(sqe, receiver.ring_fd, 17, i, 0);
		submit(&ring, sqe, SENDER, 1);
		ring_expect_result(&ring, SENDER, 0);
	}
}

static void fetch_late_ones(void)
{
	int timeouts = 0, messages = LATE_ONES / 2;

	for (int i = 0; i < LATE_ONES; i++) {
		struct io_uring_cqe *cqe = NULL;

		SCENARIO_REQUIRE(!io_uring_wait_cqe(&receiver, &cqe) && cqe->user_data < LATE_ONES, "none");
		SCENARIO_REQUIRE(cqe->res == -ETIME ? timeouts < LATE_ONES / 2 : messages < LATE_ONES, "%d", cqe->res);
		late_ones[cqe->res == -ETIME ? timeouts++ : messages++] = (unsigned)cqe->user_data;
		io_uring_cqe_seen(&receiver, cqe);
	}
	ring_expect_nothing(&receiver, "each is told once");
}

/* Those of each kind in the order in which the kernel gives them to a program that is not dumped. */
static void check_late_ones(void)
{
	fetch_late_ones();
	for (int i = 0; i < LATE_ONES; i++)
		SCENARIO_CHECK(late_ones[i] == usual[i], "%d: %u, not %u", i, late_ones[i], usual[i]);
	send_late_ones();
}

/* Nobody fetches it: the timer's work is queued. */
static void arm_timed_out(void)
{
	struct __kernel_timespec soon = {.tv_nsec = 1};
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipes[TIMED_OUT][0], &byte[TIMED_OUT], 1, 0);
	sqe = next_of_chain(sqe, TIMED_OUT);
	io_uring_prep_link_timeout(sqe, &soon, 0);
	submit(&ring, sqe, ITS_TIMEOUT, 2);
	wait_a_while();
}

static void check_left_alone(void)
{
	int results[LAST];

	collect(&ring, 3, results);
	SCENARIO_CHECK(results[LATE] == 10 && results[TIMED_OUT] == -ECANCELED && results[ITS_TIMEOUT] == -ETIME,
		       "received %d, timed out with %d and %d", results[LATE], results[TIMED_OUT],
		       results[ITS_TIMEOUT]);
	check_received(&late, LATE);
}

static void leave_alone(void)
{
	put(late.pair[1], "0123456789");
	arm_timed_out();
}

static void check(int round)
{
	(void)round;
	if (flags & DEFER_TASKRUN)
		check_left_alone();
	syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	ring_expect_nothing(&ring, "at rest");
	put(now.pair[1], "0123456789");
	ring_expect_result(&ring, RECVMSG, 10);
	check_received(&now, RECVMSG);
	check_send();
	check_waitid();
	check_chain();
	check_drained();
	check_late_ones();
	ring_expect_nothing(&ring, "after the round");
	if (flags & DEFER_TASKRUN)
		leave_alone();
}

static void set_up(void)
{
	int file = open("opened", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	SCENARIO_REQUIRE(file >= 0, "%m");
	close(file);
	for (int i = 1; i < LAST; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, now.pair), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, late.pair), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, send_pair), "%m");
	arm_receive(&now, RECVMSG);
	arm_send();
	arm_waitid();
	arm_chain();
	arm_drained();
	send_late_ones();
	fetch_late_ones();
	memcpy(usual, late_ones, sizeof(usual));
	send_late_ones();
	if (flags & DEFER_TASKRUN) {
		arm_receive(&late, LATE);
		leave_alone();
	}
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? atoi(argv[1]) : 0}, same = params;
	struct io_uring_params deferred = {.flags = IORING_SETUP_SINGLE_ISSUER | DEFER_TASKRUN};

	scenario_init();
	flags = params.flags;
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &ring, &params), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &drained, &same), "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(8, &receiver, &deferred), "%m");
	set_up();
	return scenario_main(check);
}
