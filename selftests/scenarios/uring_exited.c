// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests of a thread or a process that has exited since: they wait on, and the first event ends them with an error,
// because nobody is left to do more. What that is the program finds out before it says that it is ready; it must be the
// same later. argv[1]: who submits them.
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/socket_name.h"
#include "selftests/scenarios/uring_ring.h"

#define OP_WAITID 50

enum {
	POLL = 1,
	POLL_MULTI,
	READ,
	READ_FIXED, /* slot, registered buffer */
	READV,
	RECVMSG, /* its header was on the stack of the thread */
	ACCEPT,
	CHAIN, /* and a read and a NOP that follow */
	CHAIN_READ,
	CHAIN_NOP,
	TIMED_READ,
	TIMED_READ_TIMEOUT,
	TIMEOUT, /* to be cancelled */
	WAITID,
	CALIBRATED,
	SOON, /* expires at some time after the dump */
	CANCEL,
	DRAINED, /* in a ring of their own */
	DRAIN_POLL,
	LAST,
};

static struct shared {
	struct io_uring ring, drained;
	char bytes[CALIBRATED][64];
} *shared;
static char fixed_buffer[4096] __attribute__((aligned(4096)));
static int pipes[CALIBRATED][2], drain_pipe[2], pair[2], listener, reference[LAST], has_waitid, by_process, calibrated;
static pid_t child;
static siginfo_t child_info;
static struct __kernel_timespec far = {.tv_sec = 1000}, soon = {.tv_nsec = 200 * 1000 * 1000};

static struct io_uring_sqe *prep_chain(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&shared->ring);

	io_uring_prep_read(sqe, pipes[CHAIN][0], shared->bytes[CHAIN], 10, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = CHAIN;
	sqe = ring_sqe(&shared->ring);
	io_uring_prep_read(sqe, pipes[CHAIN_READ][0], shared->bytes[CHAIN_READ], 10, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = CHAIN_READ;
	sqe = ring_sqe(&shared->ring);
	io_uring_prep_nop(sqe);
	sqe->user_data = CHAIN_NOP;
	sqe = ring_sqe(&shared->ring);
	io_uring_prep_read(sqe, pipes[TIMED_READ][0], shared->bytes[TIMED_READ], 10, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = TIMED_READ;
	sqe = ring_sqe(&shared->ring);
	io_uring_prep_link_timeout(sqe, &far, 0);
	sqe->user_data = TIMED_READ_TIMEOUT;
	return sqe;
}

static void prep(int what)
{
	struct io_uring_sqe *sqe;
	struct iovec iovec[2] = {{shared->bytes[what], 4}, {shared->bytes[what] + 8, 8}};
	struct msghdr header = {.msg_iov = iovec, .msg_iovlen = 2};

	if (what == CHAIN) {
		prep_chain();
		return;
	}
	sqe = ring_sqe(&shared->ring);
	switch (what) {
	case POLL:
		io_uring_prep_poll_add(sqe, pipes[what][0], POLLIN);
		break;
	case POLL_MULTI:
		io_uring_prep_poll_multishot(sqe, pipes[what][0], POLLIN);
		break;
	case READ:
		io_uring_prep_read(sqe, pipes[what][0], shared->bytes[what], 10, 0);
		break;
	case READ_FIXED:
		io_uring_prep_read_fixed(sqe, 1, fixed_buffer + 8, 64, 0, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	case READV:
		io_uring_prep_readv(sqe, pipes[what][0], iovec, 2, 0);
		break;
	case RECVMSG:
		io_uring_prep_recvmsg(sqe, pair[0], &header, 0);
		break;
	case ACCEPT:
		io_uring_prep_accept(sqe, listener, NULL, NULL, 0);
		break;
	case TIMEOUT:
		io_uring_prep_timeout(sqe, &far, 0, 0);
		break;
	case SOON:
		io_uring_prep_timeout(sqe, &soon, 0, 0);
		break;
	case WAITID:
		io_uring_prep_rw(OP_WAITID, sqe, child, NULL, P_PID, (unsigned long)&child_info);
		sqe->file_index = WEXITED;
		break;
	}
	sqe->user_data = (unsigned long long)what;
	ring_submit(&shared->ring, 1);
}

static void arm(int what)
{
	prep(what);
	if (what == CHAIN)
		ring_submit(&shared->ring, 5);
}

static int is_armed(int what)
{
	if (what == WAITID)
		return has_waitid && !by_process;
	return what <= CHAIN || what == TIMEOUT;
}

static void *arm_all(void *unused)
{
	for (int what = POLL; what < CALIBRATED; what++)
		if (is_armed(what))
			arm(what);
	if (calibrated)
		arm(SOON);
	ring_prep_drain(&shared->drained, drain_pipe[0], DRAIN_POLL, DRAINED);
	ring_submit(&shared->drained, 2);
	/* Once a ring has had a drain, its requests begin as work of the thread: one that exits first loses them. */
	syscall(SYS_io_uring_enter, shared->drained.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
	scenario_sleep_ms(20);
	return unused;
}

static void arm_and_exit(void)
{
	pthread_t thread;
	pid_t pid;
	int status;

	child = fork();
	if (!child)
		for (;;)
			pause();
	if (by_process) {
		pid = fork();
		if (!pid) {
			arm_all(NULL);
			_exit(0);
		}
		SCENARIO_REQUIRE(waitpid(pid, &status, 0) == pid && !status, "%m");
		return;
	}
	SCENARIO_REQUIRE(!pthread_create(&thread, NULL, arm_all, NULL), "%m");
	SCENARIO_REQUIRE(!pthread_join(thread, NULL), "%m");
}

static int other_end(void)
{
	struct sockaddr_in address = name_of(listener);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	SCENARIO_REQUIRE(!connect(fd, (struct sockaddr *)&address, sizeof(address)), "%m");
	return fd;
}

/* Its event. */
static void let_happen(int what)
{
	struct io_uring_sqe *sqe;

	switch (what) {
	case RECVMSG:
		put(pair[1], "x");
		break;
	case ACCEPT:
		close(other_end());
		break;
	case TIMEOUT:
		sqe = ring_sqe(&shared->ring);
		io_uring_prep_cancel64(sqe, TIMEOUT, 0);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		sqe->user_data = CANCEL;
		ring_submit(&shared->ring, 1);
		break;
	case WAITID:
		kill(child, SIGKILL);
		break;
	default:
		put(pipes[what][1], "x");
	}
}

/* It has been left. */
static void clean_up(int what)
{
	char byte;
	int fd;

	switch (what) {
	case RECVMSG:
		SCENARIO_CHECK(recv(pair[0], &byte, 1, MSG_DONTWAIT) == 1, "received all the same");
		break;
	case ACCEPT:
		fd = accept(listener, NULL, NULL);
		SCENARIO_CHECK(fd >= 0, "accepted all the same");
		close(fd);
		break;
	case TIMEOUT:
	case WAITID:
		break;
	default:
		SCENARIO_CHECK(read(pipes[what][0], &byte, 1) == 1, "read all the same");
	}
}

static void expect(struct io_uring *ring, int what)
{
	int result = ring_expect(ring, (unsigned long long)what, "request");

	/* Now one, now the other, before a restore, too: the children of a kernel thread are looked for, and
	 * what was found already has no memory to go to (io_uring/waitid.c). */
	if (!calibrated || (what == WAITID && (result == -ECHILD || result == -EFAULT)))
		reference[what] = result;
	SCENARIO_CHECK(result < 0 && result == reference[what], "request %d: %d in place of %d", what, result,
		       reference[what]);
}

static void let_all_happen(void)
{
	int followers[] = {CHAIN_READ, CHAIN_NOP};

	if (calibrated)
		ring_expect_result(&shared->ring, SOON, -ETIME);
	for (int what = POLL; what < CALIBRATED; what++) {
		if (!is_armed(what) && what != TIMED_READ)
			continue;
		let_happen(what);
		expect(&shared->ring, what);
		if (what == CHAIN)
			for (int i = 0; i < 2; i++)
				expect(&shared->ring, followers[i]);
		if (what == TIMED_READ)
			expect(&shared->ring, TIMED_READ_TIMEOUT);
		clean_up(what);
		ring_expect_nothing(&shared->ring, "told more than once");
	}
	put(drain_pipe[1], "x");
	expect(&shared->drained, DRAIN_POLL);
	expect(&shared->drained, DRAINED);
	take(drain_pipe[0]);
	ring_expect_nothing(&shared->drained, "told more than once");
	kill(child, SIGKILL);
	SCENARIO_CHECK(waitpid(child, NULL, 0) == child, "%m");
}

static void check(int round)
{
	(void)round;
	let_all_happen();
	arm_and_exit();
}

int main(int argc, char **argv)
{
	struct iovec buffer = {fixed_buffer, sizeof(fixed_buffer)};
	int slots[2] = {-1, -1};

	scenario_init();
	by_process = argc > 1 && !strcmp(argv[1], "process");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	SCENARIO_REQUIRE(shared != MAP_FAILED, "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init(32, &shared->ring, 0) && !io_uring_queue_init(8, &shared->drained, 0),
			 "%m");
	for (int i = 1; i < CALIBRATED; i++)
		SCENARIO_REQUIRE(!pipe(pipes[i]), "%m");
	SCENARIO_REQUIRE(!pipe(drain_pipe) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), "%m");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SCENARIO_REQUIRE(listener >= 0 && !listen(listener, 8), "%m");
	slots[1] = pipes[READ_FIXED][0];
	SCENARIO_REQUIRE(!io_uring_register_files(&shared->ring, slots, 2), "files");
	SCENARIO_REQUIRE(!io_uring_register_buffers(&shared->ring, &buffer, 1), "buffers");
	has_waitid = ring_knows(&shared->ring, OP_WAITID);
	arm_and_exit();
	let_all_happen();
	calibrated = 1;
	arm_and_exit();
	scenario_tell("ring", "%d", shared->ring.ring_fd);
	return scenario_main(check);
}
