/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Groups of provided buffers (struct io_buffer_list, io_uring/kbuf.c): rings of them, and lists.
 */
#pragma once

#include "bpf/uring_memory.bpf.h"
#include "bpf/xarray.bpf.h"

RECORD_MAP(uring_groups, uring_group_record);
RECORD_MAP(uring_provided, uring_provided_record);

struct {
	__u64 list;
	__u64 cursor;
	__u64 end;
	__u32 count;
	__u32 id;
} group;

static long provided_step(__u32 step, void *unused)
{
	struct io_buffer *buffer = (void *)(group.cursor - bpf_core_field_offset(struct io_buffer, list));
	struct uring_provided_record *record;

	if (!group.cursor || group.cursor == group.end || is_lost(group.cursor, step))
		return 1;
	group.cursor = read_u64(group.cursor);
	group.count++;
	record = NEXT_RECORD(uring_provided);
	if (!record)
		return 0;
	record->ring = ring;
	record->list = group.list;
	record->address = BPF_CORE_READ(buffer, addr);
	record->length = BPF_CORE_READ(buffer, len);
	record->id = BPF_CORE_READ(buffer, bid);
	record->group = group.id;
	return 0;
}

/* A ring of buffers, not a list of them; io_uring/kbuf.h: IOBL_BUF_RING is 1 wherever it exists. */
static __always_inline int is_buffer_ring(struct io_buffer_list *list)
{
	struct io_buffer_list___v612 *old = (void *)list;

	if (bpf_core_field_exists(list->flags))
		return bpf_core_field_size(list->flags) == 1 ? BPF_CORE_READ(old, flags) & 1
							     : BPF_CORE_READ(list, flags) & 1;
	return BPF_CORE_READ(old, buf_nr_pages) != 0;
}

static __always_inline void emit_buffer_ring(struct uring_group_record *record, struct io_buffer_list *list)
{
	struct io_buffer_list___v612 *old = (void *)list;
	struct page **pages = NULL;
	__u32 count = 0;

	record->head = BPF_CORE_READ(list, head);
	record->entries = BPF_CORE_READ(list, mask) + 1;
	record->tail = BPF_CORE_READ(list, buf_ring, tail);
	if (bpf_core_field_exists(list->region)) {
		record->incremental = BPF_CORE_READ(list, flags) >> 1 & 1;
		record->kernel_memory = !(BPF_CORE_READ(list, region.flags) & 2);
		pages = BPF_CORE_READ(list, region.pages);
		count = BPF_CORE_READ(list, region.nr_pages);
	} else {
		if (bpf_core_field_exists(old->flags)) {
			record->kernel_memory = BPF_CORE_READ(old, flags) >> 1 & 1;
			record->incremental = BPF_CORE_READ(old, flags) >> 2 & 1;
		}
		if (bpf_core_field_exists(old->buf_pages)) {
			pages = BPF_CORE_READ(old, buf_pages);
			count = BPF_CORE_READ(old, buf_nr_pages);
		}
	}
	if (bpf_core_field_exists(list->min_left_sub_one))
		record->min_left = BPF_CORE_READ(list, min_left_sub_one) + 1;
	if (record->kernel_memory)
		walk_region(record->list, URING_REGION_BUFFERS, (__u64)BPF_CORE_READ(list, buf_ring),
			    record->entries * 16); /* struct io_uring_buf */
	else
		walk_user_region(record->list, URING_REGION_BUFFERS, pages, count);
}

static __always_inline void walk_group(__u64 address, __u32 id)
{
	struct io_buffer_list *list = (void *)address;
	struct uring_group_record *record = NEXT_RECORD(uring_groups);

	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->ring = ring;
	record->list = address;
	record->id = id;
	record->is_ring = is_buffer_ring(list);
	if (record->is_ring) {
		emit_buffer_ring(record, list);
		return;
	}
	group.list = address;
	group.id = id;
	group.end = address + bpf_core_field_offset(list->buf_list);
	group.cursor = read_u64(group.end);
	group.count = 0;
	if (bpf_loop(URING_MAX_STEPS, provided_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
	record->entries = group.count;
}

static long group_step(__u32 step, void *unused)
{
	__u64 list;

	if (xa.index >= xa.limit)
		return 1;
	list = xa_next();
	if (list)
		walk_group(list, xa.found);
	return 0;
}

/* v6.1: groups 0 to 63 are in an array; one that was never used has neither ring nor list. */
static long old_group_step(__u32 id, void *array)
{
	struct io_ring_ctx___v61 *v61 = (void *)ring;
	__u64 list = (__u64)BPF_CORE_READ(v61, io_bl);

	if (!list || id >= 64)
		return 1;
	list += id * bpf_core_type_size(struct io_buffer_list);
	if (read_u64(list + bpf_core_field_offset(struct io_buffer_list, buf_list)))
		walk_group(list, id);
	return 0;
}
