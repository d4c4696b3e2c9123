// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sends that wait, with several provided buffers (IORING_RECVSEND_BUNDLE), or with a part of one of an incremental
// ring. The program puts others in their place. Argument: flags of the ring.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "selftests/scenarios/uring_buffer_ring.h"

/* Newer than liburing 2.3. */
#define RECVSEND_BUNDLE (1U << 4)
#define CQE_F_BUF_MORE  (1U << 4)
#define OP_PIPE         62

#define ENTRIES 8
#define IDS     32
#define SIZE    24
#define PART    100
#define WHOLE   4000

enum { ALL = 1, FIRST, PART_OF, REST_OF };

/* A socket that is full, and a ring of buffers for who waits to send more. */
struct sender {
	int pair[2], filled;
	struct io_uring_buf_ring *buffers;
	unsigned short group, tail, head;
	char bytes[IDS][SIZE], expected[4 * SIZE];
};

static struct io_uring ring;
static struct sender all = {.group = 1}, first = {.group = 2};
/* Of one buffer one send has the beginning, another one the rest. */
static struct sender part = {.group = 3}, rest = {.group = 3};
static struct io_uring_buf_ring *incremental;
static unsigned short incremental_tail;
static char whole[2][WHOLE];

static void put_buffer(struct sender *sender)
{
	static unsigned count;
	int id = sender->tail % IDS;

	snprintf(sender->bytes[id], SIZE, "text %010u", count++);
	/* No two neighbours have one length. */
	put_at_tail(sender->buffers, ENTRIES, &sender->tail, sender->bytes[id], (unsigned)(SIZE - id % 3), id);
}

static int length_at(int at)
{
	return SIZE - at % IDS % 3;
}

static void fill(struct sender *sender)
{
	for (sender->filled = 0; send(sender->pair[0], "fill", 4, MSG_DONTWAIT) == 4; sender->filled++)
		;
}

static void receive_exactly(int fd, void *bytes, int length)
{
	SCENARIO_REQUIRE(recv(fd, bytes, (size_t)length, MSG_WAITALL) == length, "%m");
}

static void drain(struct sender *sender)
{
	char text[4];

	for (int i = 0; i < sender->filled; i++)
		receive_exactly(sender->pair[1], text, 4);
}

static void submit(struct sender *sender, int data, unsigned length, bool bundle)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_send(sqe, sender->pair[0], NULL, length, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = sender->group;
	sqe->ioprio = bundle ? RECVSEND_BUNDLE : 0;
	sqe->user_data = (unsigned long long)data;
	ring_submit(&ring, 1);
}

static void expect_at(unsigned short group, unsigned short head)
{
	struct {
		unsigned group, head, reserved[8];
	} status = {.group = group};

	SCENARIO_REQUIRE(!syscall(SYS_io_uring_register, ring.ring_fd, REGISTER_PBUF_STATUS, &status, 1), "%m");
	SCENARIO_CHECK(status.head == head, "group %d is at %u, not at %u", group, status.head, head);
}

static unsigned expect(int data, int result, int id)
{
	struct __kernel_timespec limit = {.tv_sec = 5};
	struct io_uring_cqe *cqe = NULL;
	unsigned flags;
	int err = io_uring_wait_cqe_timeout(&ring, &cqe, &limit);

	SCENARIO_REQUIRE(!err, "%d: no completion: %s", data, strerror(-err));
	flags = cqe->flags;
	SCENARIO_CHECK((int)cqe->user_data == data && cqe->res == result, "%llu: %d in place of %d: %d",
		       (unsigned long long)cqe->user_data, cqe->res, data, result);
	SCENARIO_CHECK(flags & IORING_CQE_F_BUFFER && (int)(flags >> IORING_CQE_BUFFER_SHIFT) == id,
		       "%d: flags %x in place of buffer %d", data, flags, id);
	io_uring_cqe_seen(&ring, cqe);
	return flags;
}

/* Takes the next `count`, with what is in them. */
static int take_buffers(struct sender *sender, int count)
{
	int length = 0;

	for (int i = 0; i < count; i++) {
		int id = sender->head++ % IDS;

		memcpy(sender->expected + length, sender->bytes[id], (size_t)length_at(id));
		length += length_at(id);
	}
	return length;
}

static void replace(struct sender *sender, int count)
{
	expect_at(sender->group, sender->head);
	while (count--)
		put_buffer(sender);
}

static void check_sent(struct sender *sender, int length)
{
	char text[sizeof(sender->expected)];

	receive_exactly(sender->pair[1], text, length);
	SCENARIO_CHECK(!memcmp(text, sender->expected, (size_t)length), "group %d: \"%.24s\" in place of \"%.24s\"",
		       sender->group, text, sender->expected);
}

static int all_length, first_length;

/* All that there are: it ends with them, whatever has been put there since. */
static void arm_all(void)
{
	fill(&all);
	submit(&all, ALL, 0, true);
	all_length = take_buffers(&all, 4);
	replace(&all, 4);
}

/* As many as fit. */
static void arm_first(void)
{
	fill(&first);
	submit(&first, FIRST, (unsigned)(length_at(first.head) + length_at(first.head + 1)), true);
	first_length = take_buffers(&first, 2);
	replace(&first, 2);
}

static void arm_parts(void)
{
	static unsigned count;

	for (int i = 0; i < WHOLE; i++)
		whole[count % 2][i] = (char)(i % 249 + (int)count);
	put_at_tail(incremental, ENTRIES, &incremental_tail, whole[count % 2], WHOLE, (int)(count % 2));
	fill(&part);
	submit(&part, PART_OF, PART, false);
	expect_at(3, (unsigned short)count);
	fill(&rest);
	submit(&rest, REST_OF, 0, false);
	expect_at(3, (unsigned short)(count + 1));
	count++;
}

static void check_bundles(void)
{
	int id = (all.head - 4) % IDS, first_id = (first.head - 2) % IDS;

	drain(&all);
	SCENARIO_CHECK(!(expect(ALL, all_length, id) & IORING_CQE_F_MORE), "it goes on");
	check_sent(&all, all_length);
	drain(&first);
	SCENARIO_CHECK(!(expect(FIRST, first_length, first_id) & IORING_CQE_F_MORE), "it goes on");
	check_sent(&first, first_length);
}

static void check_parts(void)
{
	char text[WHOLE];
	int id = (incremental_tail - 1) % 2;

	drain(&part);
	SCENARIO_CHECK(expect(PART_OF, PART, id) & CQE_F_BUF_MORE, "the buffer is used up");
	receive_exactly(part.pair[1], text, PART);
	SCENARIO_CHECK(!memcmp(text, whole[id], PART), "the part is another");
	drain(&rest);
	SCENARIO_CHECK(!(expect(REST_OF, WHOLE - PART, id) & CQE_F_BUF_MORE), "the buffer is not used up");
	receive_exactly(rest.pair[1], text, WHOLE - PART);
	SCENARIO_CHECK(!memcmp(text, whole[id] + PART, WHOLE - PART), "the rest is another");
}

static void check(int round)
{
	(void)round;
	ring_expect_nothing(&ring, "before");
	expect_at(1, all.head);
	expect_at(2, first.head);
	expect_at(3, incremental_tail);
	check_bundles();
	check_parts();
	arm_all();
	arm_first();
	arm_parts();
	ring_expect_nothing(&ring, "after");
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {.flags = argc > 1 ? (unsigned)atoi(argv[1]) : 0};
	struct sender *senders[] = {&all, &first, &part, &rest};

	scenario_init();
	SCENARIO_REQUIRE(!io_uring_queue_init_params(32, &ring, &params), "%m");
	if (!ring_knows(&ring, OP_PIPE)) /* as old as the field that tells it */
		scenario_skip("of which group a send has its buffer the kernel does not keep (before Linux 6.16)");
	for (int i = 0; i < 4; i++)
		SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, senders[i]->pair), "%m");
	all.buffers = register_buffer_ring(&ring, all.group, ENTRIES, 0);
	first.buffers = register_buffer_ring(&ring, first.group, ENTRIES, 0);
	incremental = register_buffer_ring(&ring, 3, ENTRIES, PBUF_RING_INC);
	/* What a restore takes to put the rings of buffers where they were. */
	for (int i = 0; i < 32; i++) {
		io_uring_prep_nop(ring_sqe(&ring));
		ring_submit(&ring, 1);
		ring_expect_result(&ring, 0, 0);
	}
	for (int i = 0; i < 4; i++) {
		put_buffer(&all);
		put_buffer(&first);
	}
	arm_all();
	arm_first();
	arm_parts();
	return scenario_main(check);
}
