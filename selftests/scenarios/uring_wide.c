// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Completions of 32 bytes, with something in their second half, in the list of what did not fit, among such with
// nothing there, with flags, and (where a ring has both) of 16 bytes. argv[1] is the kind of ring: "cqe32", "sqpoll",
// "deferred", "bare" (no array of submissions), "mixed", "mixed_bare". A read waits as well, and what is to make
// another such completion after it.
#include <stdlib.h>

#include "selftests/scenarios/uring_ring.h"

#define SINGLE_ISSUER       (1U << 12)
#define DEFER_TASKRUN       (1U << 13)
#define NO_SQARRAY          (1U << 16)
#define CQE_MIXED           (1U << 18)
#define CQE_F_SKIP          (1U << 5)
#define CQE_F_32            (1U << 15)
#define NOP_INJECT_RESULT   (1U << 0)
#define NOP_CQE32           (1U << 5)
#define MSG_RING_FLAGS_PASS 2
#define ENTRIES             8
#define POSTED              41
#define NOP_FIXED_BUFFER    (1 << 3)
#define READ                1000000
#define BUFFER              3

struct completion {
	unsigned long long user_data, extra[2];
	int res;
	unsigned flags;
};

static struct io_uring ring, sender;
static unsigned own_array[ENTRIES]; /* which liburing 2.3 writes to in any ring */
static int pipe_fds[2];
static char byte;
static bool mixed;
static unsigned next, submitted, sq_head, cq_tail;
static struct completion expected[2 * ENTRIES + POSTED];
static unsigned due;

static unsigned load(const unsigned *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static char page[4096] __attribute__((aligned(4096)));
static const struct iovec only = {page, sizeof(page)};
static const __u64 no_tag;

static void set_up_ring(unsigned flags)
{
	struct io_uring_params params = {.flags = flags};
	int fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);

	if (fd < 0 && errno == EINVAL)
		scenario_skip("no ring with flags %#x", flags);
	SCENARIO_REQUIRE(fd >= 0 && !io_uring_queue_mmap(fd, &params, &ring), "%m");
	ring.flags = params.flags;
	ring.features = params.features;
	ring.enter_ring_fd = fd;
	if (flags & NO_SQARRAY)
		ring.sq.array = own_array;
	for (unsigned i = 0; i < ENTRIES; i++)
		ring.sq.array[i] = i;
	mixed = flags & CQE_MIXED;
	SCENARIO_REQUIRE(!io_uring_queue_init(ENTRIES, &sender, 0), "%m");
	SCENARIO_REQUIRE(!pipe(pipe_fds), "%m");
	SCENARIO_REQUIRE(!io_uring_register_buffers_sparse(&ring, BUFFER + 1), "no table of buffers");
	SCENARIO_REQUIRE(io_uring_register_buffers_update_tag(&ring, BUFFER, &only, &no_tag, 1) == 1, "no buffer");
}

static void submit(unsigned count)
{
	ring_submit(&ring, (int)count);
	submitted += count;
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(load(ring.sq.khead) == submitted, 5), "not taken");
}

static void expect(int res, unsigned flags, unsigned long long first, unsigned long long second)
{
	expected[due++] = (struct completion){next++, {first, second}, res, flags};
}

static void nop(int res, unsigned flags, unsigned long long first, unsigned long long second)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_nop(sqe);
	sqe->user_data = next;
	sqe->rw_flags = NOP_INJECT_RESULT | flags;
	sqe->len = (unsigned)res;
	sqe->off = first;
	sqe->addr = second;
	submit(1);
	expect(res, mixed && flags ? CQE_F_32 : 0, first, second);
}

/* From another ring, as it comes from a repeating request. */
static void message(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&sender);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_MSG_RING;
	sqe->fd = ring.ring_fd;
	sqe->off = next;
	sqe->len = next;
	sqe->rw_flags = MSG_RING_FLAGS_PASS;
	sqe->file_index = IORING_CQE_F_MORE;
	ring_submit(&sender, 1);
	SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) >= 0, "%m");
	SCENARIO_REQUIRE(ring_expect(&sender, 0, "message") == 0, "not sent");
	expect((int)next, IORING_CQE_F_MORE, 0, 0);
}

static void arm_read(void)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);

	io_uring_prep_read(sqe, pipe_fds[0], &byte, 1, 0);
	sqe->flags = IOSQE_IO_LINK;
	sqe->user_data = READ;
	sqe = ring_sqe(&ring);
	io_uring_prep_nop(sqe);
	sqe->user_data = READ + 1;
	sqe->rw_flags = NOP_CQE32 | NOP_FIXED_BUFFER;
	sqe->buf_index = BUFFER;
	sqe->off = next;
	sqe->addr = ~next;
	submit(2);
}

/* The queue is full when the first goes to the list. */
static void post_many(void)
{
	due = 0;
	arm_read();
	nop(5, NOP_CQE32, next, ~0ULL);
	while (load(ring.cq.ktail) - *ring.cq.khead < ring.cq.ring_entries)
		nop((int)next, 0, 0, 0);
	for (unsigned i = 0; i < POSTED; i++)
		switch (i % 5) {
		case 0:
		case 3:
			nop((int)i - 20, NOP_CQE32, next + 0x100000000, ~0ULL - next);
			break;
		case 1:
			nop(i % 2, NOP_CQE32, 0, i % 3);
			break;
		case 2:
			nop((int)i, 0, 0, 0);
			break;
		case 4:
			message();
		}
	sq_head = load(ring.sq.khead);
	cq_tail = load(ring.cq.ktail);
}

static void check_completion(const struct io_uring_cqe *cqe, bool wide, const struct completion *was)
{
	unsigned long long first = wide ? cqe->big_cqe[0] : 0, second = wide ? cqe->big_cqe[1] : 0;

	SCENARIO_CHECK(cqe->user_data == was->user_data && cqe->res == was->res && cqe->flags == was->flags &&
			       first == was->extra[0] && second == was->extra[1],
		       "%llu, %d, %x, %llx %llx in place of %llu, %d, %x, %llx %llx",
		       (unsigned long long)cqe->user_data, cqe->res, cqe->flags, first, second, was->user_data,
		       was->res, was->flags, was->extra[0], was->extra[1]);
}

/* What is in the queue; how many that were. */
static unsigned read_queue(const struct completion *was, unsigned most)
{
	unsigned head = *ring.cq.khead, count = 0;

	while (head != load(ring.cq.ktail)) {
		unsigned slot = head & (ring.cq.ring_entries - 1);
		const struct io_uring_cqe *cqe = &ring.cq.cqes[mixed ? slot : 2 * slot];
		bool wide = !mixed || cqe->flags & CQE_F_32;

		head += mixed && wide ? 2 : 1;
		if (mixed && cqe->flags & CQE_F_SKIP)
			continue;
		SCENARIO_REQUIRE(count < most, "a completion too many: %llu", (unsigned long long)cqe->user_data);
		check_completion(cqe, wide, &was[count++]);
	}
	__atomic_store_n(ring.cq.khead, head, __ATOMIC_RELEASE);
	return count;
}

static void read_all(unsigned count)
{
	for (unsigned done = 0, now; done < count; done += now) {
		SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) >= 0,
				 "%m");
		now = read_queue(&expected[done], count - done);
		SCENARIO_REQUIRE(now, "%u of %u completions", done, count);
	}
}

static void expect_read(void)
{
	unsigned first = (unsigned)expected[0].user_data;

	expected[0] = (struct completion){READ, {0, 0}, 1, 0};
	expected[1] = (struct completion){READ + 1, {first, ~first}, 0, mixed ? CQE_F_32 : 0};
	put(pipe_fds[1], "x");
	SCENARIO_REQUIRE(syscall(SYS_io_uring_enter, ring.ring_fd, 0, 2, IORING_ENTER_GETEVENTS, NULL, 0) >= 0, "%m");
	read_all(2);
	SCENARIO_CHECK(byte == 'x', "read %x", byte);
	byte = 0;
}

static void check(int round)
{
	(void)round;
	SCENARIO_CHECK(load(ring.sq.khead) == sq_head && load(ring.cq.ktail) == cq_tail, "%u, %u in place of %u, %u",
		       load(ring.sq.khead), load(ring.cq.ktail), sq_head, cq_tail);
	read_all(due);
	expect_read();
	post_many();
}

static void set_up(unsigned flags)
{
	const struct io_uring_cqe *cqe;

	set_up_ring(flags);
	nop(42, NOP_CQE32, 1, 2);
	cqe = ring.cq.cqes;
	if (cqe->res != 42)
		scenario_skip("no IORING_NOP_CQE32 (Linux 6.18)");
	read_all(due);
	post_many();
}

static void set_up_cqe32(void)
{
	set_up(IORING_SETUP_CQE32);
}

static void set_up_sqpoll(void)
{
	set_up(IORING_SETUP_CQE32 | IORING_SETUP_SQPOLL);
}

static void set_up_deferred(void)
{
	set_up(IORING_SETUP_CQE32 | SINGLE_ISSUER | DEFER_TASKRUN);
}

static void set_up_bare(void)
{
	set_up(IORING_SETUP_CQE32 | NO_SQARRAY);
}

static void set_up_mixed(void)
{
	set_up(CQE_MIXED);
}

static void set_up_mixed_bare(void)
{
	set_up(CQE_MIXED | NO_SQARRAY);
}

int main(int argc, char **argv)
{
	static const struct scenario_state states[] = {
		{"cqe32", set_up_cqe32}, {"sqpoll", set_up_sqpoll}, {"deferred", set_up_deferred},
		{"bare", set_up_bare},   {"mixed", set_up_mixed},   {"mixed_bare", set_up_mixed_bare},
	};

	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(*states), check);
}
