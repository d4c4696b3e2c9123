/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ring memory (struct io_mapped_region; before v6.14 ctx->rings and ctx->sq_sqes): its pages, its content, and the
 * completions that found no room in it.
 */
#pragma once

#include "bpf/uring.bpf.h"
#include "iterators/uring_record.h"

RECORD_MAP(uring_overflow, uring_overflow_record);
RECORD_MAP(uring_pages, uring_page_record);

/* --- pages of regions ----------------------------------------------------------------------------------------------
 */

/*
 * Where an anonymous page lies in its process: the index of its folio is the address / 4096 (mm/rmap.c:
 * folio_add_new_anon_rmap()), unless it was moved by mremap() since; user space checks it against the page map.
 */
static __always_inline __u64 head_of_page(__u64 address)
{
	struct page___v72 *v72 = (void *)address;
	__u64 info, bytes;

	if (bpf_core_field_exists(v72->compound_info))
		info = BPF_CORE_READ(v72, compound_info);
	else
		info = BPF_CORE_READ((struct page *)address, compound_head);
	if (!(info & 1))
		return address;
	info--;
	/* A mask of the high bits, or the address of the head? The configuration decides, but none looks like the
	 * other. */
	bytes = -info;
	if (bpf_core_field_exists(v72->compound_info) && info >> 32 == 0xffffffff && !(bytes & (bytes - 1)))
		return address & info;
	return info;
}

static __always_inline __u64 page_index(__u64 address)
{
	__u64 head = head_of_page(address);
	struct page *page = (void *)head;

	if (bpf_core_field_exists(page->__folio_index))
		return BPF_CORE_READ(page, __folio_index) + (address - head) / bpf_core_type_size(struct page);
	return BPF_CORE_READ((struct page___index *)page, index) + (address - head) / bpf_core_type_size(struct page);
}

static __always_inline void first_page_of(struct page **pages, __u64 *page, __u64 *index)
{
	*page = pages ? read_u64((__u64)pages) : 0;
	*index = *page ? page_index(*page) : 0;
}

static __always_inline void emit_regions(struct uring_ring_record *record)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	record->param_region_pages = 0;
	record->param_region_npages = 0;
	record->param_page_index = 0;
	if (bpf_core_field_exists(CTX->ring_region)) {
		__u64 page;

		record->region_flags = (BPF_CORE_READ(CTX, ring_region.flags) & 0xff) |
				       (BPF_CORE_READ(CTX, sq_region.flags) & 0xff) << 8 |
				       (BPF_CORE_READ(CTX, param_region.flags) & 0xff) << 16;
		first_page_of(BPF_CORE_READ(CTX, ring_region.pages), &record->sq_ring_page,
			      &record->sq_ring_page_index);
		first_page_of(BPF_CORE_READ(CTX, sq_region.pages), &record->sqes_page, &record->sqes_page_index);
		record->param_region_pages = (__u64)BPF_CORE_READ(CTX, param_region.pages);
		record->param_region_npages = BPF_CORE_READ(CTX, param_region.nr_pages);
		first_page_of((struct page **)record->param_region_pages, &page, &record->param_page_index);
		return;
	}
	record->region_flags = 0;
	if (bpf_core_field_exists(old->ring_pages)) {
		first_page_of(BPF_CORE_READ(old, ring_pages), &record->sq_ring_page, &record->sq_ring_page_index);
		first_page_of(BPF_CORE_READ(old, sqe_pages), &record->sqes_page, &record->sqes_page_index);
	}
}

/* --- ring memory ----------------------------------------------------------------------------------------------------
 */

struct {
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
	record->ring = ring;
	record->region = region.region;
	record->index = index;
	bpf_probe_read_kernel(record->data, URING_PAGE_BYTES, (void *)(region.address + offset));
	return 0;
}

static __always_inline void walk_region(__u32 number, __u64 address, __u32 bytes)
{
	region.address = address;
	region.region = number;
	region.bytes = bytes;
	bpf_loop(URING_MAX_STEPS, page_step, NULL, 0);
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

	if (!overflow.cursor || overflow.cursor == overflow.end)
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
			      (void *)entry + bpf_core_field_offset(entry->cqe) +
				      bpf_core_field_offset(entry->cqe.big_cqe));
	return 0;
}

static __always_inline void walk_overflow(void)
{
	overflow.end = ring + bpf_core_field_offset(CTX->cq_overflow_list);
	overflow.cursor = read_u64(overflow.end);
	if (bpf_loop(URING_MAX_STEPS, overflow_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
}
