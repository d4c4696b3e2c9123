/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is registered with a ring in tables (io_uring/rsrc.c, filetable.c): fixed files and buffers.
 */
#pragma once

#include "bpf/uring_memory.bpf.h"

RECORD_MAP(uring_files, uring_file_record);
RECORD_MAP(uring_buffers, uring_buffer_record);
RECORD_MAP(uring_bvecs, uring_bvecs_record);

/* --- fixed files ----------------------------------------------------------------------------------------------------
 */

struct {
	__u64 slots; /* array of struct io_rsrc_node *, or of struct io_fixed_file */
	__u64 tags;  /* v6.12 and older: __u64 ** */
	__u32 nr;
} table;

/* io_uring/filetable.h: FFS_MASK; 7 is what older kernels keep there, and clear in every address */
#define FILE_PTR_FLAGS 7ULL
/* io_uring/rsrc.c: IO_RSRC_TAG_TABLE_SHIFT */
#define TAG_SHIFT 9

static __always_inline __u64 tag_of(__u32 slot)
{
	__u64 tags = read_u64(table.tags + (slot >> TAG_SHIFT) * 8);

	return tags ? read_u64(tags + (slot & ((1 << TAG_SHIFT) - 1)) * 8) : 0;
}

/* What a slot holds; in the node, file_ptr and buf are one union. */
struct resource {
	__u64 node; /* v6.12 and older: none */
	__u64 address;
	__u64 tag;
};

__u64 node_copy[8];

static __always_inline struct resource resource_in(__u32 slot)
{
	__u64 address = read_u64(table.slots + slot * 8ULL);
	struct io_rsrc_node *copy = (void *)node_copy;
	__u32 bytes = bpf_core_type_size(struct io_rsrc_node);

	if (!address)
		return (struct resource){};
	if (!bpf_core_field_exists(CTX->buf_table))
		return (struct resource){.address = address, .tag = tag_of(slot)};
	if (bytes > sizeof(node_copy)) {
		copy = (void *)address;
		return (struct resource){
			.node = address, .address = BPF_CORE_READ(copy, file_ptr), .tag = BPF_CORE_READ(copy, tag)};
	}
	if (bpf_probe_read_kernel(node_copy, bytes, (void *)address))
		return (struct resource){};
	return (struct resource){.node = address, .address = copy->file_ptr, .tag = copy->tag};
}

static long file_step(__u32 slot, void *unused)
{
	struct uring_file_record *record;
	struct resource found;

	if (slot >= table.nr)
		return 1;
	found = resource_in(slot);
	if (!found.address)
		return 0;
	record = NEXT_RECORD(uring_files);
	if (!record)
		return 0;
	record->ring = ring;
	record->file = found.address & ~FILE_PTR_FLAGS;
	record->node = found.node;
	record->tag = found.tag;
	record->slot = slot;
	record->pad = 0;
	return 0;
}

static __always_inline void walk_files(void)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	if (bpf_core_field_exists(CTX->buf_table)) {
		table.slots = (__u64)BPF_CORE_READ(CTX, file_table.data.nodes);
		table.nr = BPF_CORE_READ(CTX, file_table.data.nr);
		table.tags = 0;
	} else {
		struct io_file_table___v612 *files = (void *)(ring + bpf_core_field_offset(CTX->file_table));
		struct io_rsrc_data___v612 *data = BPF_CORE_READ(old, file_data);

		table.slots = (__u64)BPF_CORE_READ(files, files);
		table.nr = BPF_CORE_READ(old, nr_user_files);
		table.tags = (__u64)BPF_CORE_READ(data, tags);
	}
	bpf_loop(URING_MAX_STEPS, file_step, NULL, 0);
}

/* --- tags that wait -------------------------------------------------------------------------------------------------
 */

struct {
	__u64 cursor;
	__u64 end;
	__u64 offset; /* of the list in a node */
	__u64 put, puts_end;
	__u32 found;
} tags;

static long put_step(__u32 index, void *unused)
{
	struct io_rsrc_put *put = (void *)(tags.put - bpf_core_field_offset(struct io_rsrc_put___v61, list));

	if (!tags.put || tags.put == tags.puts_end)
		return 1;
	tags.found |= BPF_CORE_READ(put, tag) != 0;
	tags.put = read_u64(tags.put);
	return 0;
}

static __always_inline void look_at_node(__u64 address)
{
	struct io_rsrc_node___v612 *v612 = (void *)address;
	struct io_rsrc_node___v61 *v61 = (void *)address;

	if (bpf_core_field_exists(v612->item)) {
		tags.found |= !BPF_CORE_READ(v612, empty) && BPF_CORE_READ(v612, item.tag);
	} else if (bpf_core_field_exists(v61->rsrc_list)) {
		tags.puts_end = address + bpf_core_field_offset(v61->rsrc_list);
		tags.put = read_u64(tags.puts_end);
		bpf_loop(URING_MAX_STEPS, put_step, NULL, 0);
	}
}

static long node_step(__u32 index, void *unused)
{
	__u64 node = tags.cursor;

	if (!node || node == tags.end || is_lost(node, index))
		return 1;
	tags.cursor = read_u64(node);
	look_at_node(node - tags.offset);
	return 0;
}

static __always_inline void walk_nodes(__u64 first, __u64 end, __u64 offset)
{
	tags.cursor = first;
	tags.end = end;
	tags.offset = offset;
	if (bpf_loop(URING_MAX_STEPS, node_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
}

/* Those of what is put away only when what was submitted before has ended: since v6.13 each request holds its own. */
static __always_inline __u32 has_waiting_tag(void)
{
	struct io_ring_ctx___v612 *v612 = (void *)ring;
	struct io_ring_ctx___v61 *v61 = (void *)ring;
	__u64 head;

	tags.found = 0;
	if (bpf_core_field_exists(v612->rsrc_ref_list)) {
		head = ring + bpf_core_field_offset(v612->rsrc_ref_list);
		walk_nodes(read_u64(head), head, bpf_core_field_offset(struct io_rsrc_node___v612, node));
	}
	if (bpf_core_field_exists(v61->rsrc_put_llist)) /* a second later */
		walk_nodes(read_u64(ring + bpf_core_field_offset(v61->rsrc_put_llist)), 0,
			   bpf_core_field_offset(struct io_rsrc_node___v61, llist));
	return tags.found;
}

/* --- registered buffers ---------------------------------------------------------------------------------------------
 */

static __always_inline void emit_buffer(struct uring_buffer_record *record, __u64 address)
{
	struct io_mapped_ubuf *imu = (void *)address;
	struct io_mapped_ubuf___v61 *v61 = (void *)imu;
	struct io_mapped_ubuf___v72 *v72 = (void *)imu;

	record->imu = address;
	record->address = BPF_CORE_READ(imu, ubuf);
	if (bpf_core_field_exists(v61->ubuf_end))
		record->length = BPF_CORE_READ(v61, ubuf_end) - record->address;
	else if (bpf_core_field_size(imu->len) == 8)
		record->length = BPF_CORE_READ(v72, len);
	else
		record->length = BPF_CORE_READ(imu, len);
	record->references = bpf_core_field_exists(imu->refs) ? BPF_CORE_READ(imu, refs.refs.counter) : 1;
	record->nr_bvecs = BPF_CORE_READ(imu, nr_bvecs);
	record->kernel_buffer = 0;
	if (bpf_core_field_exists(imu->is_kbuf))
		record->kernel_buffer = BPF_CORE_READ(imu, is_kbuf);
	else if (bpf_core_field_exists(v72->flags))
		record->kernel_buffer = BPF_CORE_READ(v72, flags) & 1;
	record->direction = bpf_core_field_exists(imu->dir) ? BPF_CORE_READ(imu, dir) : 3;
}

struct {
	__u64 imu;
	__u64 vector;
	__u32 count;
} bvecs;

/* struct bio_vec has been { page, length, offset } in 16 bytes since v2.5; the record relies on it. */
static long bvec_step(__u32 index, void *unused)
{
	__u32 first = index * URING_BVEC_CHUNK, count = bvecs.count - first, bytes;
	struct uring_bvecs_record *record;

	if (first >= bvecs.count)
		return 1;
	record = NEXT_RECORD(uring_bvecs);
	if (!record)
		return 0;
	record->imu = bvecs.imu;
	record->first = first;
	record->count = count < URING_BVEC_CHUNK ? count : URING_BVEC_CHUNK;
	/* The verifier of v6.1 forgets the bound of `count` in the product. */
	bytes = record->count * sizeof(struct uring_bvec);
	barrier_var(bytes);
	if (bytes > sizeof(record->bvec))
		bytes = sizeof(record->bvec);
	if (bpf_core_type_size(struct bio_vec) != sizeof(struct uring_bvec) ||
	    bpf_probe_read_kernel(record->bvec, bytes, (void *)(bvecs.vector + first * sizeof(struct uring_bvec))))
		record->count = 0;
	return 0;
}

/* The pages that a buffer has pinned, for user space to compare with those that are mapped at its address. */
static __always_inline void walk_bvecs(__u64 imu)
{
	bvecs.imu = imu;
	bvecs.vector = imu + bpf_core_field_offset(struct io_mapped_ubuf, bvec);
	bvecs.count = BPF_CORE_READ((struct io_mapped_ubuf *)imu, nr_bvecs);
	bpf_loop(URING_MAX_STEPS, bvec_step, NULL, 0);
}

/* An empty slot of older kernels: ubuf is ~0 (v6.12), or there is no page (v6.1). */
static __always_inline int is_dummy(__u64 imu)
{
	return BPF_CORE_READ((struct io_mapped_ubuf *)imu, ubuf) == ~0ULL ||
	       !BPF_CORE_READ((struct io_mapped_ubuf *)imu, nr_bvecs);
}

static long buffer_step(__u32 slot, void *unused)
{
	struct uring_buffer_record *record;
	struct resource found;

	if (slot >= table.nr)
		return 1;
	found = resource_in(slot);
	if (!found.address || (!found.node && is_dummy(found.address)))
		return 0;
	record = NEXT_RECORD(uring_buffers);
	if (!record)
		return 0;
	record->ring = ring;
	record->node = found.node;
	record->tag = found.tag;
	record->slot = slot;
	emit_buffer(record, found.address);
	record->pad[0] = record->pad[1] = 0;
	if (!record->kernel_buffer)
		walk_bvecs(found.address);
	return 0;
}

static __always_inline void walk_buffers(void)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	if (bpf_core_field_exists(CTX->buf_table)) {
		table.slots = (__u64)BPF_CORE_READ(CTX, buf_table.nodes);
		table.nr = BPF_CORE_READ(CTX, buf_table.nr);
		table.tags = 0;
	} else {
		struct io_rsrc_data___v612 *data = BPF_CORE_READ(old, buf_data);

		table.slots = (__u64)BPF_CORE_READ(old, user_bufs);
		table.nr = BPF_CORE_READ(old, nr_user_bufs);
		table.tags = (__u64)BPF_CORE_READ(data, tags);
	}
	bpf_loop(URING_MAX_STEPS, buffer_step, NULL, 0);
}
