/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rings of provided buffers (struct io_uring_buf_ring), of which liburing 2.3 knows the oldest kind only. */
#ifndef BPFCKPT_URING_BUFFER_RING_H
#define BPFCKPT_URING_BUFFER_RING_H

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

/* Newer than liburing 2.3. */
#define PBUF_RING_MMAP       1
#define PBUF_RING_INC        2
#define REGISTER_PBUF_STATUS 26
#define MAP_BUFFERS          0x80000000UL

/* In memory of the program, or of the kernel (PBUF_RING_MMAP); skips where the kernel has none of that kind. */
static inline struct io_uring_buf_ring *register_buffer_ring(struct io_uring *ring, unsigned short id, unsigned entries,
							     unsigned short flags)
{
	struct { /* struct io_uring_buf_reg */
		unsigned long address;
		unsigned entries;
		unsigned short id, flags;
		unsigned reserved[6];
	} registration = {.entries = entries, .id = id, .flags = flags};
	size_t size = entries * sizeof(struct io_uring_buf);
	struct io_uring_buf_ring *buffers = NULL;

	if (!(flags & PBUF_RING_MMAP)) {
		buffers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		SCENARIO_REQUIRE(buffers != MAP_FAILED, "%m");
		registration.address = (unsigned long)buffers;
	}
	if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1))
		scenario_skip("no rings of buffers with flags %d", flags);
	if (flags & PBUF_RING_MMAP) {
		buffers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->ring_fd,
			       (long)(MAP_BUFFERS | (unsigned long)id << 16));
		SCENARIO_REQUIRE(buffers != MAP_FAILED, "%m");
	}
	return buffers;
}

/* Puts one at the tail, which is a number of the program's own. */
static inline void put_at_tail(struct io_uring_buf_ring *buffers, unsigned entries, unsigned short *tail, char *bytes,
			       unsigned size, int id)
{
	struct io_uring_buf *entry = &buffers->bufs[*tail % entries];

	entry->addr = (unsigned long)bytes;
	entry->len = size;
	entry->bid = (unsigned short)id;
	++*tail;
	__atomic_store_n(&buffers->tail, *tail, __ATOMIC_RELEASE);
}

#endif
