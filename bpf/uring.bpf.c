// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * struct io_ring_ctx (include/linux/io_uring_types.h): setup, counters, threads, limits, and by way of the headers
 * below all that is registered with it. Requests are in uring_request.bpf.c.
 */
#include <linux/types.h>

#include "bpf/cred.bpf.h"
#include "bpf/uring_memory.bpf.h"
#include "bpf/uring_provided.bpf.h"
#include "bpf/uring_registered.bpf.h"
#include "vmlinux/anon_files.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

RECORD_MAP(uring_rings, uring_ring_record);
RECORD_MAP(uring_personalities, uring_personality_record);

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
	record->submitter_tid = submitter ? tid_of(submitter) : 0;
	if (submitter && BPF_CORE_READ(submitter, exit_state))
		record->state |= URING_SUBMITTER_DEAD;
	record->sq_data = (__u64)sq_data;
	record->sq_creds = (__u64)BPF_CORE_READ(CTX, sq_creds);
	record->sq_thread_idle = BPF_CORE_READ(CTX, sq_thread_idle);
	record->sq_thread_task = (__u64)thread;
	record->sq_thread_tid = thread ? tid_of(thread) : 0;
	record->sq_thread_state = thread ? BPF_CORE_READ(thread, __state) : 0;
	record->sq_thread_cpu = sq_data ? BPF_CORE_READ(sq_data, sq_cpu) : 0;
}

static __always_inline void emit_restrictions(struct uring_ring_record *record)
{
	record->restrict_register[0] = BPF_CORE_READ(CTX, restrictions.register_op[0]);
	record->restrict_register[1] =
		bpf_core_field_size(CTX->restrictions.register_op) > 8
			? read_u64(ring + bpf_core_field_offset(CTX->restrictions.register_op) + 8)
			: 0;
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
	struct eventfd_ctx *eventfd = ev_fd ? BPF_CORE_READ(ev_fd, cq_ev_fd) : NULL;

	record->eventfd_ctx = (__u64)eventfd;
	record->eventfd_refs = eventfd ? BPF_CORE_READ(eventfd, kref.refcount.refs.counter) : 0;
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

/* --- personalities --------------------------------------------------------------------------------------------------
 */

static __noinline int emit_personality(__u64 address, __u32 id)
{
	struct uring_personality_record *record;
	struct cred *cred = (void *)address;

	if (!cred)
		return 0;
	record = NEXT_RECORD(uring_personalities);
	if (!record)
		return 0;
	record->ring = ring;
	record->id = id;
	record->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	read_credentials(&record->credentials, cred);
	return 0;
}

static long personality_step(__u32 step, void *unused)
{
	if (xa.index >= xa.limit)
		return 1;
	emit_personality(xa_next(), xa.found);
	return 0;
}

/* --- programs --------------------------------------------------------------------------------------------------------
 */

static long ring_step(__u32 index, void *unused)
{
	struct uring_ring_record *record;

	ring = INPUT(uring_inputs, index);
	if (!ring)
		return 1;
	truncated = 0;
	record = NEXT_RECORD(uring_rings);
	if (!record)
		return 0;
	emit_ring(record);
	walk_region(ring, URING_REGION_QUEUES, (__u64)BPF_CORE_READ(CTX, rings), record->ring_bytes);
	walk_region(ring, URING_REGION_SQES, (__u64)BPF_CORE_READ(CTX, sq_sqes), record->sqe_bytes);
	if (record->flags & 1 << 14) /* IORING_SETUP_NO_MMAP */
		walk_user_queues();
	walk_param_region();
	walk_overflow();
	walk_files();
	walk_buffers();
	xa_begin((__u64)BPF_CORE_READ(CTX, personalities.xa_head));
	bpf_loop(URING_MAX_STEPS, personality_step, NULL, 0);
	if (record->sq_data)
		emit_personality(record->sq_creds, 0);
	xa_begin((__u64)BPF_CORE_READ(CTX, io_bl_xa.xa_head));
	bpf_loop(URING_MAX_STEPS, group_step, NULL, 0);
	if (bpf_core_field_exists(((struct io_ring_ctx___v61 *)ring)->io_bl))
		bpf_loop(64, old_group_step, NULL, 0);
	if (has_waiting_tag())
		record->state |= URING_TAG_WAITS;
	if (truncated)
		record->state |= URING_TRUNCATED;
	return 0;
}

SEC("syscall")
int uring_walk_rings(void *unused)
{
	remember_own_pidns();
	bpf_loop(URING_MAX_STEPS, ring_step, NULL, 0);
	return 0;
}
