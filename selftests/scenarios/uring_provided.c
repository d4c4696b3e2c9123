// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Provided buffers of every kind, in use: a ring of them in memory of the program, one that the kernel has allocated,
// an incremental one, each some way beyond its first lap, and a classic group whose buffers have come back in another
// order. What is received must come in the buffer that is next, also by requests that wait over the dump.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "selftests/scenarios/uring_buffer_ring.h"

/* Newer than liburing 2.3. */
#define READ_MULTISHOT 49

#define ENTRIES 16
#define SIZE    64
#define CLASSIC 9

struct group {
	unsigned short id, flags;
	struct io_uring_buf_ring *ring;
	unsigned short tail; /* our own */
	unsigned head;       /* buffers taken so far */
	unsigned used;       /* bytes of the buffer at the head: incremental */
	char bytes[ENTRIES][SIZE];
};

static struct group groups[] = {{.id = 1}, {.id = 2, .flags = PBUF_RING_MMAP}, {.id = 3, .flags = PBUF_RING_INC}};
#define GROUPS (int)(sizeof(groups) / sizeof(groups[0]))

static struct io_uring ring;
static int pair[2], many[2], messages[2], pipe_fds[2], repeated[2], single[2];
static char classic[ENTRIES][SIZE];
static int order[ENTRIES], first, available; /* of classic buffers, a queue */

static void put_buffer(struct group *group, int id)
{
	put_at_tail(group->ring, ENTRIES, &group->tail, group->bytes[id], SIZE, id);
}

static void set_up(struct group *group)
{
	group->ring = register_buffer_ring(&ring, group->id, ENTRIES, group->flags);
	for (int i = 0; i < ENTRIES; i++)
		put_buffer(group, i);
}

static void expect_at(const struct group *group, const char *what)
{
	struct {
		unsigned group, head, reserved[8];
	} status = {.group = group->id};

	if (!syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_PBUF_STATUS, &status, 1))
		SCENARIO_CHECK(status.head == (group->head & 0xffff), "%s: group %d is at %u, not %u", what, group->id,
			       status.head, group->head);
	SCENARIO_CHECK(__atomic_load_n(&group->ring->tail, __ATOMIC_ACQUIRE) == group->tail, "%s: tail of %d", what,
		       group->id);
}

/* The next completion has its data in the buffer that was to come; gives its flags. */
static unsigned expect_bytes(int data, const char *bytes, int length, const char *place, int id)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	unsigned flags;
	int err;

	do {
		err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
	} while (err == -EINTR);
	SCENARIO_REQUIRE(!err, "%d: no completion: %s", data, strerror(-err));
	SCENARIO_CHECK((int)cqe->user_data == data && cqe->res == length, "%llu: %d in place of %d: %d",
		       (unsigned long long)cqe->user_data, cqe->res, data, length);
	flags = cqe->flags;
	SCENARIO_CHECK(flags & IORING_CQE_F_BUFFER && (int)(flags >> IORING_CQE_BUFFER_SHIFT) == id,
		       "%d: buffer %u in place of %d", data, flags >> IORING_CQE_BUFFER_SHIFT, id);
	SCENARIO_CHECK(!memcmp(place, bytes, (size_t)length), "%d: \"%.*s\" in place of \"%.*s\"", data, length, place,
		       length, bytes);
	io_uring_cqe_seen(&ring, cqe);
	return flags;
}

static unsigned expect_in(int data, const char *text, const char *place, int id)
{
	return expect_bytes(data, text, (int)strlen(text), place, id);
}

static void submit_select(struct io_uring_sqe *sqe, int data, int group)
{
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (unsigned short)group;
	sqe->user_data = (unsigned long long)data;
	ring_submit(&ring, 1);
}

static void arm(int data, int fd, int group, unsigned short ioprio)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_recv(sqe, fd, NULL, 0, 0);
	sqe->ioprio = ioprio;
	submit_select(sqe, data, group);
}

static const char *next_text(void)
{
	static char text[16];
	static unsigned count;

	snprintf(text, sizeof(text), "data %06u", count++);
	return text;
}

/* Into the buffer at the head of a ring, which comes back at its tail when it is used up. */
static unsigned expect_in_ring(struct group *group, int data, int fd)
{
	const char *text = next_text();
	int id = (int)(group->head % ENTRIES);
	unsigned flags;

	put(fd, text);
	flags = expect_in(data, text, group->bytes[id] + group->used, id);
	if (group->flags & PBUF_RING_INC)
		group->used += (unsigned)strlen(text);
	else
		group->used = SIZE;
	if (group->used + strlen(text) <= SIZE)
		return flags;
	if (group->used < SIZE) { /* use up the rest of it, so that texts stay whole */
		char rest[SIZE] = "................................................";

		rest[SIZE - group->used] = 0;
		put(fd, rest);
		if (data == 100)
			arm(data, pair[1], group->id, 0);
		flags = expect_in(data, rest, group->bytes[id] + group->used, id);
	}
	group->used = 0;
	group->head++;
	put_buffer(group, id);
	return flags;
}

/* A multishot RECVMSG puts a header before what it has received. */
static void expect_message(struct group *group, int data, int fd)
{
	struct {
		struct io_uring_recvmsg_out header;
		char text[16];
	} message = {};
	const char *text = next_text();
	int id = (int)(group->head++ % ENTRIES);
	unsigned flags;

	message.header.payloadlen = (unsigned)strlen(text);
	memcpy(message.text, text, strlen(text));
	put(fd, text);
	flags = expect_bytes(data, (const char *)&message, (int)(sizeof(message.header) + strlen(text)),
			     group->bytes[id], id);
	SCENARIO_CHECK(flags & IORING_CQE_F_MORE, "%d does not repeat any more", data);
	put_buffer(group, id);
}

static void receive(struct group *group)
{
	arm(100, pair[1], group->id, 0);
	expect_in_ring(group, 100, pair[0]);
}

static void provide(int id, int count)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_provide_buffers(sqe, classic[id], SIZE, count, CLASSIC, id);
	sqe->user_data = 101;
	ring_submit(&ring, 1);
	ring_expect_result(&ring, 101, 0);
	for (int i = 0; i < count; i++)
		order[(first + available++) % ENTRIES] = id + i;
}

static void expect_in_classic(int data, int fd)
{
	const char *text = next_text();
	int id = order[first % ENTRIES];

	put(fd, text);
	expect_in(data, text, classic[id], id);
	first = (first + 1) % ENTRIES;
	available--;
}

static void arm_read(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipe_fds[0], NULL, SIZE, -1);
	submit_select(sqe, 102, groups[1].id);
}

static void arm_repeated_read(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, repeated[0], NULL, 0, -1);
	sqe->opcode = READ_MULTISHOT;
	submit_select(sqe, 104, groups[0].id);
}

static void arm_messages(void)
{
	static struct msghdr header;
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_recvmsg(sqe, messages[1], &header, 0);
	sqe->ioprio |= IORING_RECV_MULTISHOT;
	submit_select(sqe, 105, groups[1].id);
}

/* Of a message that comes once the kernel writes what it has found out into the header, which is the program's. */
static struct msghdr single_header;

static void arm_message(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	static struct sockaddr_un name;
	static struct iovec iovec;

	iovec = (struct iovec){NULL, 12};
	memset(&name, 0, sizeof(name));
	single_header = (struct msghdr){
		.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iovec, .msg_iovlen = 1, .msg_flags = 77};
	io_uring_prep_recvmsg(sqe, single[1], &single_header, 0);
	submit_select(sqe, 106, groups[0].id);
	if (!(ring.flags & IORING_SETUP_SQPOLL)) /* its thread may still have to read it */
		memset(&iovec, 0xff, sizeof(iovec));
}

/* Its iovec cuts what is received: to 12 bytes of a message of 20. */
static void expect_single_message(void)
{
	struct group *group = &groups[0];
	int id = (int)(group->head++ % ENTRIES);

	put(single[0], "one message of some!");
	expect_bytes(106, "one message of some!", 12, group->bytes[id], id);
	SCENARIO_CHECK(single_header.msg_flags == MSG_TRUNC && single_header.msg_namelen == 0, "header: %x, %u",
		       single_header.msg_flags, single_header.msg_namelen);
	put_buffer(group, id);
	arm_message();
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
	for (int i = 0; i < GROUPS; i++)
		expect_at(&groups[i], "before");
	/* Those that waited. */
	SCENARIO_CHECK(expect_in_ring(&groups[0], 200, many[0]) & IORING_CQE_F_MORE, "it does not repeat any more");
	SCENARIO_CHECK(expect_in_ring(&groups[0], 200, many[0]) & IORING_CQE_F_MORE, "it does not repeat any more");
	for (int times = 0; times < 2; times++) {
		SCENARIO_CHECK(expect_in_ring(&groups[0], 104, repeated[1]) & IORING_CQE_F_MORE,
			       "the read does not repeat any more");
		expect_message(&groups[1], 105, messages[0]);
	}
	expect_in_ring(&groups[1], 102, pipe_fds[1]);
	arm_read();
	expect_single_message();
	for (int i = 0; i < GROUPS; i++)
		for (int times = 0; times < 5; times++)
			receive(&groups[i]);
	/* All that are left, in their order, and back in two pieces. */
	while (available > 1) {
		arm(103, pair[1], CLASSIC, 0);
		expect_in_classic(103, pair[0]);
	}
	provide(5, 3);
	provide(0, 4);
	for (int i = 0; i < GROUPS; i++)
		expect_at(&groups[i], "after");
	ring_expect_nothing(&ring, "after");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};

	scenario_init();
	/* Requests have another I/O priority then, which not all of them can be submitted with. */
	SCENARIO_REQUIRE(nice(5) >= 0, "%m");
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &ring, &params), "%m");
	scenario_tell("ring", "%d", ring.ring_fd);
	if (!ring_knows(&ring, READ_MULTISHOT))
		scenario_skip("no IORING_OP_READ_MULTISHOT");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !socketpair(AF_UNIX, SOCK_STREAM, 0, many) &&
				 !socketpair(AF_UNIX, SOCK_DGRAM, 0, messages),
			 "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_DGRAM, 0, single), "%m");
	SCENARIO_REQUIRE(!pipe(pipe_fds) && !pipe(repeated), "%m");
	for (int i = 0; i < GROUPS; i++)
		set_up(&groups[i]);
	provide(8, 4);
	provide(2, 2);
	for (int i = 0; i < GROUPS; i++)
		for (int times = 0; times < 37 + 300 * i; times++)
			receive(&groups[i]);
	arm(200, many[1], groups[0].id, IORING_RECV_MULTISHOT);
	arm_read();
	arm_repeated_read();
	arm_messages();
	arm_message();
	return scenario_main(check);
}
