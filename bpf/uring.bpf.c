// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * struct io_ring_ctx (include/linux/io_uring_types.h) and what is registered with it: setup, counters, ring memory,
 * fixed files and buffers, personalities, buffer groups, overflowed completions. Requests are in uring_request.bpf.c.
 */
#include "bpf/uring.bpf.h"

#include <bpf/bpf_tracing.h>

#include "iterators/uring_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

RECORD_MAP(uring_rings, uring_ring_record);
RECORD_MAP(uring_files, uring_file_record);
RECORD_MAP(uring_buffers, uring_buffer_record);
RECORD_MAP(uring_personalities, uring_personality_record);
RECORD_MAP(uring_groups, uring_group_record);
RECORD_MAP(uring_provided, uring_provided_record);
RECORD_MAP(uring_overflow, uring_overflow_record);
RECORD_MAP(uring_pages, uring_page_record);

/* The ring being walked. */
__u64 ring;
__u32 truncated;

#define CTX ((struct io_ring_ctx *)ring)

static __always_inline __u64 list_of(__u32 offset)
{
	return ring + offset;
}

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

/* --- the ring itself -----------------------------------------------------------------------------------------------
 */

static __always_inline __u32 state_of_ring(void)
{
	struct io_ring_ctx___v72 *v72 = (void *)ring;
	__u32 state = 0;

	if (bpf_core_field_exists(v72->int_flags)) {
		/* include/linux/io_uring_types.h: IO_RING_F_* */
		__u32 flags = BPF_CORE_READ(v72, int_flags);

		state |= flags & (1 << 0) ? URING_DRAIN_NEXT : 0;
		state |= flags & (1 << 1) ? URING_RESTRICTED : 0;
		state |= flags & (1 << 2) ? URING_REG_RESTRICTED : 0;
		state |= flags & (1 << 3) ? URING_OFF_TIMEOUT : 0;
		state |= flags & (1 << 4) ? URING_DRAIN_ACTIVE : 0;
		state |= flags & (1 << 10) ? URING_DRAIN_DISABLED : 0;
		state |= flags & (1 << 11) ? URING_COMPAT : 0;
		state |= flags & (1 << 12) ? URING_IOWQ_LIMITS : 0;
		if (bpf_core_field_exists(v72->bpf_filters) && BPF_CORE_READ(v72, bpf_filters))
			state |= URING_BPF;
		if (bpf_core_field_exists(v72->bpf_ops) && BPF_CORE_READ(v72, bpf_ops))
			state |= URING_BPF;
		return state;
	}
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, drain_next) ? URING_DRAIN_NEXT : 0;
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, restricted) ? URING_RESTRICTED : 0;
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, off_timeout_used) ? URING_OFF_TIMEOUT : 0;
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, drain_active) ? URING_DRAIN_ACTIVE : 0;
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, drain_disabled) ? URING_DRAIN_DISABLED : 0;
	state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, compat) ? URING_COMPAT : 0;
	if (bpf_core_field_exists(CTX->iowq_limits_set))
		state |= BPF_CORE_READ_BITFIELD_PROBED(CTX, iowq_limits_set) ? URING_IOWQ_LIMITS : 0;
	return state;
}

static __always_inline void emit_threads(struct uring_ring_record *record)
{
	struct task_struct *submitter = BPF_CORE_READ(CTX, submitter_task);
	struct io_sq_data *sq_data = BPF_CORE_READ(CTX, sq_data);
	struct task_struct *thread = sq_data ? BPF_CORE_READ(sq_data, thread) : NULL;

	record->submitter_task = (__u64)submitter;
	record->submitter_tid = submitter ? tid_of((__u64)submitter) : 0;
	if (submitter && BPF_CORE_READ(submitter, exit_state))
		record->state |= URING_SUBMITTER_DEAD;
	record->sq_data = (__u64)sq_data;
	record->sq_creds = (__u64)BPF_CORE_READ(CTX, sq_creds);
	record->sq_thread_idle = BPF_CORE_READ(CTX, sq_thread_idle);
	record->sq_thread_task = (__u64)thread;
	record->sq_thread_tid = thread ? tid_of((__u64)thread) : 0;
	record->sq_thread_state = thread ? BPF_CORE_READ(thread, __state) : 0;
	record->sq_thread_cpu = sq_data ? BPF_CORE_READ(sq_data, sq_cpu) : 0;
}

static __always_inline void emit_restrictions(struct uring_ring_record *record)
{
	record->restrict_register[0] = BPF_CORE_READ(CTX, restrictions.register_op[0]);
	record->restrict_register[1] = 0;
	record->restrict_sqe[0] = BPF_CORE_READ(CTX, restrictions.sqe_op[0]);
	/* v7.2: as many words as IORING_OP_LAST needs */
	record->restrict_sqe[1] = bpf_core_field_size(CTX->restrictions.sqe_op) > 8
					  ? read_u64(ring + bpf_core_field_offset(CTX->restrictions.sqe_op) + 8)
					  : 0;
	record->sqe_flags_allowed = BPF_CORE_READ(CTX, restrictions.sqe_flags_allowed);
	record->sqe_flags_required = BPF_CORE_READ(CTX, restrictions.sqe_flags_required);
}

static __always_inline void emit_napi(struct uring_ring_record *record)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	record->napi_mode = 255;
	record->napi_busy_poll_ns = 0;
	record->napi_prefer = 0;
	if (bpf_core_field_exists(CTX->napi_track_mode))
		record->napi_mode = BPF_CORE_READ(CTX, napi_track_mode);
	else if (bpf_core_field_exists(old->napi_enabled))
		record->napi_mode = BPF_CORE_READ(old, napi_enabled) ? 0 : 255;
	if (bpf_core_field_exists(CTX->napi_busy_poll_dt)) {
		record->napi_busy_poll_ns = BPF_CORE_READ(CTX, napi_busy_poll_dt);
		record->napi_prefer = BPF_CORE_READ(CTX, napi_prefer_busy_poll);
	}
}

static __always_inline void emit_eventfd(struct uring_ring_record *record)
{
	struct io_ev_fd *ev_fd = BPF_CORE_READ(CTX, io_ev_fd);

	record->eventfd_ctx = ev_fd ? (__u64)BPF_CORE_READ(ev_fd, cq_ev_fd) : 0;
	record->eventfd_async = ev_fd ? BPF_CORE_READ_BITFIELD_PROBED(ev_fd, eventfd_async) : 0;
}

static __always_inline void emit_header(struct uring_ring_record *record)
{
	struct io_rings *rings = BPF_CORE_READ(CTX, rings);
	__u64 array = (__u64)BPF_CORE_READ(CTX, sq_array);
	__u32 cqe_bytes = sizeof(struct io_uring_cqe) << (record->flags >> 11 & 1); /* IORING_SETUP_CQE32 */

	record->sq_dropped = BPF_CORE_READ(rings, sq_dropped);
	record->sq_flags = BPF_CORE_READ(rings, sq_flags.counter);
	record->cq_flags = BPF_CORE_READ(rings, cq_flags);
	record->cq_overflow = BPF_CORE_READ(rings, cq_overflow);
	record->cqes_offset = bpf_core_field_offset(rings->cqes);
	record->sq_array_offset = array ? array - (__u64)rings : 0;
	record->ring_bytes = array ? record->sq_array_offset + record->sq_entries * 4
				   : record->cqes_offset + record->cq_entries * cqe_bytes;
	record->sqe_bytes = record->sq_entries * (64 << (record->flags >> 10 & 1)); /* IORING_SETUP_SQE128 */
}

static __always_inline void emit_tables(struct uring_ring_record *record)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	if (bpf_core_field_exists(CTX->buf_table)) {
		record->file_slots = BPF_CORE_READ(CTX, file_table.data.nr);
		record->buffer_slots = BPF_CORE_READ(CTX, buf_table.nr);
	} else {
		record->file_slots = BPF_CORE_READ(old, nr_user_files);
		record->buffer_slots = BPF_CORE_READ(old, nr_user_bufs);
	}
	record->file_alloc_start = BPF_CORE_READ(CTX, file_alloc_start);
	record->file_alloc_end = BPF_CORE_READ(CTX, file_alloc_end);
	record->file_alloc_hint = BPF_CORE_READ(CTX, file_table.alloc_hint);
	record->next_personality = BPF_CORE_READ(CTX, pers_next);
}

static __always_inline void emit_ring(struct uring_ring_record *record)
{
	record->ring = ring;
	record->flags = BPF_CORE_READ(CTX, flags);
	record->state = state_of_ring();
	record->sq_entries = BPF_CORE_READ(CTX, sq_entries);
	record->cq_entries = BPF_CORE_READ(CTX, cq_entries);
	record->check_cq = BPF_CORE_READ(CTX, check_cq);
	record->clock_id = bpf_core_field_exists(CTX->clockid) ? BPF_CORE_READ(CTX, clockid) : 1;
	record->iowq_limits[0] = bpf_core_field_exists(CTX->iowq_limits) ? BPF_CORE_READ(CTX, iowq_limits[0]) : 0;
	record->iowq_limits[1] = bpf_core_field_exists(CTX->iowq_limits) ? BPF_CORE_READ(CTX, iowq_limits[1]) : 0;
	record->drained = bpf_core_field_exists(CTX->nr_drained) ? BPF_CORE_READ(CTX, nr_drained) : 0;
	record->cq_timeouts = BPF_CORE_READ(CTX, cq_timeouts.counter);
	if (bpf_core_field_exists(CTX->cq_wait_size) && BPF_CORE_READ(CTX, cq_wait_size))
		record->state |= URING_CQ_WAIT_ARG;
	if (bpf_core_field_exists(CTX->zcrx_ctxs) && BPF_CORE_READ(CTX, zcrx_ctxs.xa_head))
		record->state |= URING_ZCRX;
	emit_header(record);
	emit_tables(record);
	emit_threads(record);
	emit_restrictions(record);
	emit_napi(record);
	emit_eventfd(record);
	emit_regions(record);
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

static long file_step(__u32 slot, void *unused)
{
	struct uring_file_record *record;
	__u64 node = 0, file, tag;

	if (slot >= table.nr)
		return 1;
	file = read_u64(table.slots + slot * 8ULL);
	if (!file)
		return 0;
	if (bpf_core_field_exists(CTX->buf_table)) {
		node = file;
		file = BPF_CORE_READ((struct io_rsrc_node *)node, file_ptr);
		tag = BPF_CORE_READ((struct io_rsrc_node *)node, tag);
	} else {
		tag = tag_of(slot);
	}
	record = NEXT_RECORD(uring_files);
	if (!record)
		return 0;
	record->ring = ring;
	record->file = file & ~FILE_PTR_FLAGS;
	record->node = node;
	record->tag = tag;
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
	record->first_page =
		read_u64(address + bpf_core_field_offset(imu->bvec) + bpf_core_field_offset(struct bio_vec, bv_page));
	record->first_page_index = record->first_page && !record->kernel_buffer ? page_index(record->first_page) : 0;
}

static long buffer_step(__u32 slot, void *unused)
{
	struct uring_buffer_record *record;
	__u64 node = 0, imu, tag;

	if (slot >= table.nr)
		return 1;
	imu = read_u64(table.slots + slot * 8ULL);
	if (!imu)
		return 0;
	if (bpf_core_field_exists(CTX->buf_table)) {
		node = imu;
		imu = (__u64)BPF_CORE_READ((struct io_rsrc_node *)node, buf);
		tag = BPF_CORE_READ((struct io_rsrc_node *)node, tag);
	} else {
		/* an empty slot holds a dummy: ubuf is ~0 (v6.12) or there is no page (v6.1) */
		if (BPF_CORE_READ((struct io_mapped_ubuf *)imu, ubuf) == ~0ULL ||
		    !BPF_CORE_READ((struct io_mapped_ubuf *)imu, nr_bvecs))
			return 0;
		tag = tag_of(slot);
	}
	record = NEXT_RECORD(uring_buffers);
	if (!record)
		return 0;
	record->ring = ring;
	record->node = node;
	record->tag = tag;
	record->slot = slot;
	emit_buffer(record, imu);
	record->pad[0] = record->pad[1] = 0;
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

/* --- personalities --------------------------------------------------------------------------------------------------
 */

static __always_inline void emit_credentials(struct uring_personality_record *record, struct cred *cred)
{
	struct group_info *groups = BPF_CORE_READ(cred, group_info);
	__u32 count = BPF_CORE_READ(groups, ngroups), bytes;

	record->cred = (__u64)cred;
	record->uid = BPF_CORE_READ(cred, uid.val);
	record->gid = BPF_CORE_READ(cred, gid.val);
	record->euid = BPF_CORE_READ(cred, euid.val);
	record->egid = BPF_CORE_READ(cred, egid.val);
	record->suid = BPF_CORE_READ(cred, suid.val);
	record->sgid = BPF_CORE_READ(cred, sgid.val);
	record->fsuid = BPF_CORE_READ(cred, fsuid.val);
	record->fsgid = BPF_CORE_READ(cred, fsgid.val);
	record->securebits = BPF_CORE_READ(cred, securebits);
	/* 64 bits under two layouts: an array of two words before v6.3, one word since */
	record->cap_inheritable = read_u64((__u64)cred + bpf_core_field_offset(cred->cap_inheritable));
	record->cap_permitted = read_u64((__u64)cred + bpf_core_field_offset(cred->cap_permitted));
	record->cap_effective = read_u64((__u64)cred + bpf_core_field_offset(cred->cap_effective));
	record->cap_bounding = read_u64((__u64)cred + bpf_core_field_offset(cred->cap_bset));
	record->cap_ambient = read_u64((__u64)cred + bpf_core_field_offset(cred->cap_ambient));
	record->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	record->ngroups = count;
	if (count > URING_MAX_GROUPS)
		count = URING_MAX_GROUPS;
	/* The verifier of v6.1 forgets the bound of `count` in the product. */
	bytes = count * sizeof(__u32);
	barrier_var(bytes);
	if (bytes > sizeof(record->groups))
		bytes = sizeof(record->groups);
	bpf_probe_read_kernel(record->groups, bytes, (void *)groups + bpf_core_field_offset(groups->gid));
}

static long personality_step(__u32 step, void *unused)
{
	struct uring_personality_record *record;
	__u64 cred;

	if (xa.index >= xa.limit)
		return 1;
	cred = xa_next();
	if (!cred)
		return 0;
	record = NEXT_RECORD(uring_personalities);
	if (!record)
		return 0;
	record->ring = ring;
	record->id = xa.found;
	emit_credentials(record, (struct cred *)cred);
	return 0;
}

/* --- provided buffers ------------------------------------------------------------------------------------------------
 */

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

	if (!group.cursor || group.cursor == group.end)
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

	record->head = BPF_CORE_READ(list, head);
	record->entries = BPF_CORE_READ(list, mask) + 1;
	record->tail = BPF_CORE_READ(list, buf_ring, tail);
	if (bpf_core_field_exists(list->region)) {
		record->incremental = BPF_CORE_READ(list, flags) >> 1 & 1;
		record->kernel_memory = !(BPF_CORE_READ(list, region.flags) & 2);
		pages = BPF_CORE_READ(list, region.pages);
	} else {
		if (bpf_core_field_exists(old->flags)) {
			record->kernel_memory = BPF_CORE_READ(old, flags) >> 1 & 1;
			record->incremental = BPF_CORE_READ(old, flags) >> 2 & 1;
		}
		if (bpf_core_field_exists(old->buf_pages) && !record->kernel_memory)
			pages = BPF_CORE_READ(old, buf_pages);
	}
	if (bpf_core_field_exists(list->min_left_sub_one))
		record->min_left = BPF_CORE_READ(list, min_left_sub_one) + 1;
	first_page_of(pages, &record->first_page, &record->first_page_index);
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
		record->truncated = 1;
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
	overflow.end = list_of(bpf_core_field_offset(CTX->cq_overflow_list));
	overflow.cursor = read_u64(overflow.end);
	if (bpf_loop(URING_MAX_STEPS, overflow_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
}

/* --- programs --------------------------------------------------------------------------------------------------------
 */

static long ring_step(__u32 index, void *unused)
{
	struct uring_ring_record *record;
	__u64 *input;

	if (index >= uring_inputs_count)
		return 1;
	input = bpf_map_lookup_elem(&uring_inputs, &index);
	if (!input)
		return 1;
	ring = *input;
	truncated = 0;
	record = NEXT_RECORD(uring_rings);
	if (!record)
		return 0;
	emit_ring(record);
	walk_region(0, (__u64)BPF_CORE_READ(CTX, rings), record->ring_bytes);
	walk_region(1, (__u64)BPF_CORE_READ(CTX, sq_sqes), record->sqe_bytes);
	walk_overflow();
	walk_files();
	walk_buffers();
	xa_begin((__u64)BPF_CORE_READ(CTX, personalities.xa_head));
	bpf_loop(URING_MAX_STEPS, personality_step, NULL, 0);
	xa_begin((__u64)BPF_CORE_READ(CTX, io_bl_xa.xa_head));
	bpf_loop(URING_MAX_STEPS, group_step, NULL, 0);
	if (bpf_core_field_exists(((struct io_ring_ctx___v61 *)ring)->io_bl))
		bpf_loop(64, old_group_step, NULL, 0);
	if (truncated)
		record->state |= URING_TRUNCATED;
	return 0;
}

SEC("syscall")
int uring_walk_rings(void *unused)
{
	bpf_loop(URING_MAX_STEPS, ring_step, NULL, 0);
	return 0;
}
