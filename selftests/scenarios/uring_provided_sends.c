// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sends that wait with a provided buffer, which they keep: the program puts others in its place. Reads that wait while
// their group has run empty. argv[1]: flags of the ring; argv[2]: "incremental", "bundle", "incremental bundle": one
// send of that kind; "timer": a read that is to find no buffer two seconds from now.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#include "selftests/scenarios/uring_buffer_ring.h"

/* Newer than liburing 2.3. */
#define FEAT_BUNDLE     (1U << 14)
#define RECVSEND_BUNDLE (1U << 4)
#define READ_MULTISHOT  49
#define OP_PIPE         62

#define ENTRIES 4
#define IDS     16
#define SIZE    16
#define CLASSIC 9

struct group {
	unsigned short id, flags;
	struct io_uring_buf_ring *ring;
	unsigned short tail, head;
	char bytes[IDS][SIZE];
};

static struct group user = {.id = 1}, kernel = {.id = 2, .flags = PBUF_RING_MMAP}, empty = {.id = 3};

/* A socket that is full, and who waits to send more; group NULL: the classic one. */
static struct send {
	struct group *group;
	int pair[2], filled, id;
	char text[SIZE];
} sends[] = {{.group = &user}, {.group = &user}, {.group = &kernel}, {.group = NULL}, {.group = NULL}};
#define SENDS (int)(sizeof(sends) / sizeof(sends[0]))

enum {
	SEND = 1, /* and those after it */
	CHAIN_READ = 10,
	CHAIN_SEND,
	READ,
	READ_MANY,
	RECEIVE,
	PROVIDE,
};

static struct io_uring ring;
static int chain_pipe[2], chain_pair[2], read_pipe[2], many_pipe[2], pair[2];
static char classic[IDS][SIZE], chain_byte;

/* The next id, with a text that no other has. */
static void put_buffer(struct group *group)
{
	static unsigned count;
	int id = group->tail % IDS;

	snprintf(group->bytes[id], SIZE, "text %010u", count++);
	put_at_tail(group->ring, ENTRIES, &group->tail, group->bytes[id], SIZE, id);
}

static void set_up(struct group *group, int buffers)
{
	group->ring = register_buffer_ring(&ring, group->id, ENTRIES, group->flags);
	while (buffers--)
		put_buffer(group);
}

/* Once a submission thread, if there is one, has come to it. */
static void expect_at_head(const struct group *group, const char *when)
{
	struct {
		unsigned group, head, reserved[8];
	} status = {.group = group->id};

	for (int tries = 0; tries < 5000; tries++) {
		SCENARIO_REQUIRE(!syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_PBUF_STATUS, &status, 1), "%m");
		if (status.head == group->head)
			break;
		scenario_sleep_ms(1);
	}
	SCENARIO_CHECK(status.head == group->head, "%s: group %d is at %u, not at %u", when, group->id, status.head,
		       group->head);
	SCENARIO_CHECK(__atomic_load_n(&group->ring->tail, __ATOMIC_ACQUIRE) == group->tail, "%s: tail of %d", when,
		       group->id);
}

/* The next buffer has been taken: another one lies in its place. */
static int replace_buffer(struct group *group)
{
	int id = group->head++ % IDS;

	expect_at_head(group, "taken");
	put_buffer(group);
	return id;
}

static void submit_select(struct io_uring_sqe *sqe, int data, int group)
{
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (unsigned short)group;
	sqe->user_data = (unsigned long long)data;
	ring_submit(&ring, 1);
}

/* Its result, and the buffer that it has used; -1: any. */
static unsigned expect(int data, int result, int id)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	unsigned flags;
	int err;

	do {
		err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
	} while (err == -EINTR);
	SCENARIO_REQUIRE(!err, "%d: no completion: %s", data, strerror(-err));
	flags = cqe->flags;
	SCENARIO_CHECK((int)cqe->user_data == data && cqe->res == result, "%llu: %d in place of %d: %d",
		       (unsigned long long)cqe->user_data, cqe->res, data, result);
	SCENARIO_CHECK(id < 0 || (flags & IORING_CQE_F_BUFFER && (int)(flags >> IORING_CQE_BUFFER_SHIFT) == id),
		       "%d: flags %x in place of buffer %d", data, flags, id);
	io_uring_cqe_seen(&ring, cqe);
	return flags;
}

/* As the only one of the classic group. Gives its id. */
static int provide(void)
{
	static unsigned count;
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int id = (int)(count % IDS);

	snprintf(classic[id], SIZE, "text %9uc", count++);
	io_uring_prep_provide_buffers(sqe, classic[id], SIZE, 1, CLASSIC, id);
	sqe->user_data = PROVIDE;
	ring_submit(&ring, 1);
	expect(PROVIDE, 0, -1);
	return id;
}

static void arm_send(int index)
{
	struct send *send_ = &sends[index];
	struct io_uring_sqe *sqe;

	for (send_->filled = 0; send(send_->pair[0], "fill", 4, MSG_DONTWAIT) == 4; send_->filled++)
		;
	if (!send_->group)
		send_->id = provide();
	sqe = ring_sqe(&ring);
	io_uring_prep_send(sqe, send_->pair[0], NULL, 0, 0);
	submit_select(sqe, SEND + index, send_->group ? send_->group->id : CLASSIC);
	if (send_->group) {
		send_->id = replace_buffer(send_->group);
		memcpy(send_->text, send_->group->bytes[send_->id], SIZE);
	} else {
		memcpy(send_->text, classic[send_->id], SIZE);
	}
}

static void receive_exactly(int fd, void *bytes, int length)
{
	SCENARIO_REQUIRE(recv(fd, bytes, (size_t)length, MSG_WAITALL) == length, "%m");
}

static void expect_send(int index)
{
	struct send *send_ = &sends[index];
	char text[SIZE];

	for (int i = 0; i < send_->filled; i++) {
		receive_exactly(send_->pair[1], text, 4);
		SCENARIO_CHECK(!memcmp(text, "fill", 4), "%d: something else is in the queue", index);
	}
	expect(SEND + index, SIZE, send_->id);
	receive_exactly(send_->pair[1], text, SIZE);
	SCENARIO_CHECK(!memcmp(text, send_->text, SIZE), "%d: \"%.16s\" in place of \"%.16s\"", index, text,
		       send_->text);
}

static void arm_chain(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, chain_pipe[0], &chain_byte, 1, 0);
	sqe->flags |= IOSQE_IO_LINK;
	sqe->user_data = CHAIN_READ;
	sqe = ring_sqe(&ring);
	io_uring_prep_send(sqe, chain_pair[0], NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = user.id;
	sqe->user_data = CHAIN_SEND;
	ring_submit(&ring, 2);
}

/* It takes its buffer when its turn has come. */
static void expect_chain(void)
{
	char text[SIZE];
	int id = user.head % IDS;

	put(chain_pipe[1], "x");
	expect(CHAIN_READ, 1, -1);
	expect(CHAIN_SEND, SIZE, id);
	receive_exactly(chain_pair[1], text, SIZE);
	SCENARIO_CHECK(!memcmp(text, user.bytes[id], SIZE), "\"%.16s\" in place of \"%.16s\"", text, user.bytes[id]);
	replace_buffer(&user);
}

static void arm_read(int data, int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, fd, NULL, data == READ ? SIZE : 0, -1);
	if (data == READ_MANY)
		sqe->opcode = READ_MULTISHOT;
	submit_select(sqe, data, empty.id);
}

/* All that are in it. */
static void empty_group(void)
{
	while (empty.head != empty.tail) {
		struct io_uring_sqe *sqe = ring_sqe(&ring);

		put(pair[0], "received");
		io_uring_prep_recv(sqe, pair[1], NULL, 0, 0);
		submit_select(sqe, RECEIVE, empty.id);
		expect(RECEIVE, 8, empty.head++ % IDS);
	}
}

static void expect_read(int data, int fd)
{
	int id = empty.head++ % IDS;
	unsigned flags;

	put(fd, "what was read");
	flags = expect(data, 13, id);
	SCENARIO_CHECK(!memcmp(empty.bytes[id], "what was read", 13), "%d: \"%.16s\"", data, empty.bytes[id]);
	SCENARIO_CHECK(data == READ || flags & IORING_CQE_F_MORE, "the read does not repeat any more");
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
	expect_at_head(&user, "before");
	expect_at_head(&kernel, "before");
	expect_at_head(&empty, "before");
	for (int i = 0; i < SENDS; i++)
		expect_send(i);
	expect_chain();
	for (int i = 0; i < 3; i++)
		put_buffer(&empty);
	expect_read(READ, read_pipe[1]);
	expect_read(READ_MANY, many_pipe[1]);
	for (int i = 0; i < SENDS; i++)
		arm_send(i);
	arm_chain();
	arm_read(READ, read_pipe[0]);
	empty_group();
	expect_at_head(&user, "after");
	expect_at_head(&kernel, "after");
	expect_at_head(&empty, "after");
	ring_expect_nothing(&ring, "after");
}

/* One send of this kind, and no more. */
static void wait_with(const char *kind)
{
	struct io_uring_sqe *sqe;

	if (strstr(kind, "incremental"))
		user.flags = PBUF_RING_INC;
	set_up(&user, ENTRIES);
	while (send(pair[0], "fill", 4, MSG_DONTWAIT) == 4)
		;
	sqe = ring_sqe(&ring);
	io_uring_prep_send(sqe, pair[0], NULL, 0, 0);
	if (strstr(kind, "bundle"))
		sqe->ioprio = RECVSEND_BUNDLE;
	submit_select(sqe, SEND, user.id);
	user.head += strstr(kind, "bundle") ? ENTRIES : 1;
	expect_at_head(&user, "armed");
}

static void wait_for_timer(void)
{
	struct itimerspec soon = {};
	int timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);

	SCENARIO_REQUIRE(timer >= 0 && !clock_gettime(CLOCK_REALTIME, &soon.it_value), "%m");
	soon.it_value.tv_sec += 2;
	SCENARIO_REQUIRE(!timerfd_settime(timer, TFD_TIMER_ABSTIME, &soon, NULL), "%m");
	set_up(&empty, 2);
	arm_read(READ, timer);
	empty_group();
}

static void check_timer(int round)
{
	(void)round;
	ring_expect_result(&ring, READ, -ENOBUFS);
	ring_expect_nothing(&ring, "after");
	expect_at_head(&empty, "after");
}

static void check_nothing(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &ring, &params), "%m");
	if (!(params.features & FEAT_BUNDLE))
		scenario_skip("sends take no provided buffers (before Linux 6.10)");
	if (!ring_knows(&ring, OP_PIPE)) /* as old as the field that tells it */
		scenario_skip("of which group a send has its buffer the kernel does not keep (before Linux 6.16)");
	SCENARIO_REQUIRE(!pipe(chain_pipe) && !pipe(read_pipe) && !pipe(many_pipe), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !socketpair(AF_UNIX, SOCK_STREAM, 0, chain_pair),
			 "%m");
	if (argc > 2 && !strcmp(argv[2], "timer")) {
		wait_for_timer();
		return scenario_main(check_timer);
	}
	if (argc > 2) {
		wait_with(argv[2]);
		return scenario_main(check_nothing);
	}
	set_up(&user, ENTRIES);
	set_up(&kernel, ENTRIES);
	set_up(&empty, 1);
	for (int i = 0; i < SENDS; i++) {
		SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, sends[i].pair), "%m");
		arm_send(i);
	}
	arm_chain();
	arm_read(READ, read_pipe[0]);
	arm_read(READ_MANY, many_pipe[0]);
	empty_group();
	return scenario_main(check);
}
