/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ring memory (struct io_mapped_region; before v6.14 ctx->rings and ctx->sq_sqes): its pages, its content, and the
 * completions that found no room in it.
 */
#pragma once

#include "bpf/page.bpf.h"
#include "bpf/uring.bpf.h"
#include "iterators/uring_record.h"

RECORD_MAP(uring_overflow, uring_overflow_record);
RECORD_MAP(uring_pages, uring_page_record);
RECORD_MAP(uring_regions, uring_region_record);

/* --- pages of regions ----------------------------------------------------------------------------------------------
 */

struct {
	__u64 owner;
	__u64 pages;
	__u32 region;
	__u32 count;
} user_region;

static long region_step(__u32 index, void *unused)
{
	__u32 first = index * URING_REGION_CHUNK, count = user_region.count - first, bytes;
	struct uring_region_record *record;

	if (first >= user_region.count)
		return 1;
	record = NEXT_RECORD(uring_regions);
	if (!record)
		return 0;
	record->ring = ring;
	record->owner = user_region.owner;
	record->first_index = page_index(read_u64(user_region.pages));
	record->region = user_region.region;
	record->first = first;
	record->count = count < URING_REGION_CHUNK ? count : URING_REGION_CHUNK;
	record->pad = 0;
	/* The verifier of v6.1 forgets the bound of `count` in the product. */
	bytes = record->count * sizeof(record->page[0]);
	barrier_var(bytes);
	if (bytes > sizeof(record->page))
		bytes = sizeof(record->page);
	if (bpf_probe_read_kernel(record->page, bytes, (void *)(user_region.pages + first * sizeof(record->page[0]))))
		record->count = 0;
	return 0;
}

/* The pages of memory of the program, for user space to find out where they are mapped. */
static __always_inline void walk_user_region(__u64 owner, __u32 number, struct page **pages, __u32 count)
{
	if (!pages)
		return;
	user_region.owner = owner;
	user_region.region = number;
	user_region.pages = (__u64)pages;
	user_region.count = count;
	bpf_loop(URING_MAX_STEPS, region_step, NULL, 0);
}

static __always_inline void emit_regions(struct uring_ring_record *record)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	record->param_region_npages = 0;
	record->queues_page = 0;
	record->sqes_page = 0;
	if (bpf_core_field_exists(CTX->ring_region)) {
		record->region_flags = (BPF_CORE_READ(CTX, ring_region.flags) & 0xff) |
				       (BPF_CORE_READ(CTX, sq_region.flags) & 0xff) << 8 |
				       (BPF_CORE_READ(CTX, param_region.flags) & 0xff) << 16;
		record->param_region_npages = BPF_CORE_READ(CTX, param_region.nr_pages);
		record->queues_page = read_u64((__u64)BPF_CORE_READ(CTX, ring_region.pages));
		record->sqes_page = read_u64((__u64)BPF_CORE_READ(CTX, sq_region.pages));
		return;
	}
	record->region_flags = 0;
	if (bpf_core_field_exists(old->ring_pages)) {
		record->queues_page = read_u64((__u64)BPF_CORE_READ(old, ring_pages));
		record->sqes_page = read_u64((__u64)BPF_CORE_READ(old, sqe_pages));
	}
}

/* IORING_SETUP_NO_MMAP: both regions are memory of the program. */
static __always_inline void walk_user_queues(void)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	if (bpf_core_field_exists(CTX->ring_region)) {
		walk_user_region(ring, URING_REGION_QUEUES, BPF_CORE_READ(CTX, ring_region.pages),
				 BPF_CORE_READ(CTX, ring_region.nr_pages));
		walk_user_region(ring, URING_REGION_SQES, BPF_CORE_READ(CTX, sq_region.pages),
				 BPF_CORE_READ(CTX, sq_region.nr_pages));
	} else if (bpf_core_field_exists(old->ring_pages)) {
		walk_user_region(ring, URING_REGION_QUEUES, BPF_CORE_READ(old, ring_pages),
				 BPF_CORE_READ(old, n_ring_pages));
		walk_user_region(ring, URING_REGION_SQES, BPF_CORE_READ(old, sqe_pages),
				 BPF_CORE_READ(old, n_sqe_pages));
	}
}

/* --- ring memory ----------------------------------------------------------------------------------------------------
 */

struct {
	__u64 owner;
	__u64 address;
	__u32 region;
	__u32 bytes;
} region;

static long page_step(__u32 index, void *unused)
{
	__u32 offset = index * URING_PAGE_BYTES;
	struct uring_page_record *record;

	if (offset >= region.bytes)
		return 1;
	record = NEXT_RECORD(uring_pages);
	if (!record)
		return 0;
	record->owner = region.owner;
	record->region = region.region;
	record->index = index;
	bpf_probe_read_kernel(record->data, URING_PAGE_BYTES, (void *)(region.address + offset));
	return 0;
}

static __always_inline void walk_region(__u64 owner, __u32 number, __u64 address, __u32 bytes)
{
	region.owner = owner;
	region.address = address;
	region.region = number;
	region.bytes = bytes;
	bpf_loop(URING_MAX_STEPS, page_step, NULL, 0);
}

/* IORING_REGISTER_MEM_REGION: the program's, or the kernel's with its content. */
static __always_inline void walk_param_region(void)
{
	__u32 pages;

	/* v6.13 kept no pointer to it. */
	if (!bpf_core_field_exists(CTX->param_region) || !bpf_core_field_exists(struct io_mapped_region, ptr))
		return;
	pages = BPF_CORE_READ(CTX, param_region.nr_pages);
	if (!pages)
		return;
	if (BPF_CORE_READ(CTX, param_region.flags) & 2) /* IO_REGION_F_USER_PROVIDED */
		walk_user_region(ring, URING_REGION_PARAM, BPF_CORE_READ(CTX, param_region.pages), pages);
	else if (pages <= URING_MOST_REGION_PAGES)
		walk_region(ring, URING_REGION_PARAM, (__u64)BPF_CORE_READ(CTX, param_region.ptr),
			    pages * URING_PAGE_BYTES);
}

/* --- completions that found no room ----------------------------------------------------------------------------------
 */

struct {
	__u64 cursor;
	__u64 end;
} overflow;

static long overflow_step(__u32 step, void *unused)
{
	struct io_overflow_cqe *entry = (void *)overflow.cursor; /* list is its first field */
	struct uring_overflow_record *record;

	if (!overflow.cursor || overflow.cursor == overflow.end || is_lost(overflow.cursor, step))
		return 1;
	overflow.cursor = read_u64(overflow.cursor);
	record = NEXT_RECORD(uring_overflow);
	if (!record)
		return 0;
	record->ring = ring;
	record->user_data = BPF_CORE_READ(entry, cqe.user_data);
	record->res = BPF_CORE_READ(entry, cqe.res);
	record->flags = BPF_CORE_READ(entry, cqe.flags);
	bpf_probe_read_kernel(record->extra, sizeof(record->extra),
			      (void *)entry + bpf_core_field_offset(entry->cqe.big_cqe));
	return 0;
}

static __always_inline void walk_overflow(void)
{
	overflow.end = ring + bpf_core_field_offset(CTX->cq_overflow_list);
	overflow.cursor = read_u64(overflow.end);
	if (bpf_loop(URING_MAX_STEPS, overflow_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
}
