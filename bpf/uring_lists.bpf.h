/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists of requests: those of a ring, and what threads are attached to it.
 */
#pragma once

#include "bpf/uring_kiocb.bpf.h"

RECORD_MAP(uring_attachments, uring_attachment_record);

/*
 * list_head, hlist_node, llist_node and io_wq_work_node alike start with `next`, so one walk does for all. `offset` is
 * where the node lies in the io_kiocb; INDIRECT: where the pointer to the io_kiocb lies, counted from the node.
 */
#define INDIRECT (1U << 31)

struct {
	__u64 cursor;
	__u64 end;
	__u64 stub; /* a node that is no request, 0: none */
	__u32 offset;
	__u32 place;
	__u32 newest_first; /* the list is a stack, and turned round before it is run */
} walk;

static long walk_step(__u32 index, void *unused)
{
	__u64 node = walk.cursor;
	__u32 sequence = walk.newest_first ? ~index : index;

	if (!node || node == walk.end || is_lost(node, index))
		return 1;
	if (node != walk.stub && !(walk.offset & INDIRECT)) {
		/* The node lies in the request, of which there is a copy now. */
		if (!emit_request(node - walk.offset, walk.place, sequence))
			walk.cursor = kiocb_words[walk.offset / sizeof(__u64) % KIOCB_WORDS];
		else
			walk.cursor = read_u64(node);
		return 0;
	}
	walk.cursor = read_u64(node);
	if (node != walk.stub)
		emit_request(read_u64(node + (walk.offset & ~INDIRECT)), walk.place, sequence);
	return 0;
}

__noinline int walk_requests(__u64 first, __u64 end, __u32 offset, __u32 place)
{
	walk.cursor = first;
	walk.end = end;
	walk.offset = offset;
	walk.place = place;
	if (bpf_loop(URING_MAX_STEPS, walk_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
	return 0;
}

#define OFFSET(type, field) bpf_core_field_offset(type, field)
#define KIOCB(field)        bpf_core_field_offset(struct io_kiocb, field)
#define KIOCB_TASK_WORK     (KIOCB(io_task_work) + OFFSET(struct io_task_work, node))
#define KIOCB_WORK          (KIOCB(work) + OFFSET(struct io_wq_work, list))

/* v7.2: task work in a struct mpscq, as that kernel's BTF has it. */
static __always_inline void walk_task_work(__u64 first, __u64 queue)
{
	walk.stub = queue + OFFSET(struct mpscq, stub);
	walk_requests(first, 0, KIOCB_TASK_WORK, URING_PLACE_TASK_WORK);
	walk.stub = 0;
}

/*
 * Run newest first before commit "io_uring: maintain ordering for DEFER_TASKRUN tw list", in v6.5. That cannot be seen;
 * struct io_tw_state is of v6.4.
 */
static __always_inline void walk_task_work_stack(__u64 first)
{
	walk.newest_first = bpf_core_type_exists(struct io_tw_state);
	walk_requests(first, 0, KIOCB_TASK_WORK, URING_PLACE_TASK_WORK);
	walk.newest_first = 0;
}

static __always_inline void walk_list_head(__u64 head, __u32 offset, __u32 place)
{
	walk_requests(read_u64(head), head, offset, place);
}

/* --- of a ring -----------------------------------------------------------------------------------------------------
 */

struct {
	__u64 buckets;
	__u32 count;
} cancel_table;

static long bucket_step(__u32 index, void *unused)
{
	__u64 bucket = cancel_table.buckets + (__u64)index * bpf_core_type_size(struct io_hash_bucket);

	if (index >= cancel_table.count)
		return 1;
	walk_requests(read_u64(bucket + OFFSET(struct io_hash_bucket, list)), 0, KIOCB(hash_node), URING_PLACE_POLL);
	return 0;
}

static __always_inline void walk_cancel_table(struct io_hash_table *table)
{
	cancel_table.buckets = (__u64)BPF_CORE_READ(table, hbs);
	cancel_table.count = 1U << (BPF_CORE_READ(table, hash_bits) & 31);
	bpf_loop(URING_MAX_STEPS, bucket_step, NULL, 0);
}

static __always_inline void walk_polls(void)
{
	struct io_ring_ctx___v612 *old = (void *)ring;

	walk_cancel_table((void *)(ring + OFFSET(struct io_ring_ctx, cancel_table)));
	if (bpf_core_field_exists(old->cancel_table_locked))
		walk_cancel_table((void *)(ring + bpf_core_field_offset(old->cancel_table_locked)));
}

static __always_inline void walk_waiting(void)
{
	struct io_ring_ctx___v72 *v72 = (void *)ring;

	walk_list_head(ring + OFFSET(struct io_ring_ctx, timeout_list), OFFSET(struct io_timeout, list),
		       URING_PLACE_TIMEOUT);
	walk_list_head(ring + OFFSET(struct io_ring_ctx, ltimeout_list), OFFSET(struct io_timeout, list),
		       URING_PLACE_LINK_TIMEOUT);
	walk_list_head(ring + OFFSET(struct io_ring_ctx, defer_list), OFFSET(struct io_defer_entry, req) | INDIRECT,
		       URING_PLACE_DEFERRED);
	if (bpf_core_field_exists(CTX->waitid_list))
		walk_requests((__u64)BPF_CORE_READ(CTX, waitid_list.first), 0, KIOCB(hash_node), URING_PLACE_WAITID);
	if (bpf_core_field_exists(CTX->futex_list))
		walk_requests((__u64)BPF_CORE_READ(CTX, futex_list.first), 0, KIOCB(hash_node), URING_PLACE_FUTEX);
	if (bpf_core_field_exists(CTX->cancelable_uring_cmd))
		walk_requests((__u64)BPF_CORE_READ(CTX, cancelable_uring_cmd.first), 0, KIOCB(hash_node),
			      URING_PLACE_URING_CMD);
	if (bpf_core_field_exists(struct io_kiocb___v72, iopoll_node))
		walk_list_head(ring + bpf_core_field_offset(v72->iopoll_list),
			       bpf_core_field_offset(struct io_kiocb___v72, iopoll_node), URING_PLACE_IOPOLL);
	else
		walk_requests((__u64)BPF_CORE_READ(CTX, iopoll_list.first), 0, KIOCB(comp_list), URING_PLACE_IOPOLL);
}

static __always_inline void walk_completing(void)
{
	struct io_ring_ctx___v72 *v72 = (void *)ring;
	__u64 head;

	if (bpf_core_field_exists(v72->work_head))
		walk_task_work((__u64)BPF_CORE_READ(v72, work_head), ring + bpf_core_field_offset(v72->work_list));
	else
		walk_task_work_stack((__u64)BPF_CORE_READ(CTX, work_llist.first));
	/* Already turned round, and older (io_uring/io_uring.c: __io_run_local_work()). */
	if (bpf_core_field_exists(CTX->retry_llist))
		walk_requests((__u64)BPF_CORE_READ(CTX, retry_llist.first), 0, KIOCB_TASK_WORK, URING_PLACE_TASK_WORK);
	if (bpf_core_field_exists(CTX->fallback_llist))
		walk_requests((__u64)BPF_CORE_READ(CTX, fallback_llist.first), 0, KIOCB_TASK_WORK,
			      URING_PLACE_FALLBACK);
	walk_requests((__u64)BPF_CORE_READ(CTX, submit_state.compl_reqs.first), 0, KIOCB(comp_list),
		      URING_PLACE_COMPLETING);
	head = (__u64)BPF_CORE_READ(CTX, submit_state.link.head);
	if (head)
		emit_request(head, URING_PLACE_SUBMITTING, 0);
}

static __always_inline void emit_attachment(__u64 task_address, __u32 sq_thread)
{
	struct task_struct *task = (void *)task_address;
	struct uring_attachment_record *record = NEXT_RECORD(uring_attachments);

	if (!record)
		return;
	record->ring = ring;
	record->task = task_address;
	record->tctx = (__u64)BPF_CORE_READ(task, io_uring);
	record->cred = (__u64)BPF_CORE_READ(task, cred);
	record->tid = tid_of(task);
	record->sq_thread = sq_thread;
}

static long attachment_step(__u32 index, void *unused)
{
	__u64 node = walk.cursor;

	if (!node || node == walk.end || is_lost(node, index))
		return 1;
	walk.cursor = read_u64(node);
	emit_attachment(read_u64(node - OFFSET(struct io_tctx_node, ctx_node) + OFFSET(struct io_tctx_node, task)), 0);
	return 0;
}

/* The SQ thread is not in tctx_list (v6.18). */
static __always_inline void walk_attachments(void)
{
	struct io_sq_data *sq_data = BPF_CORE_READ(CTX, sq_data);
	__u64 thread = sq_data ? (__u64)BPF_CORE_READ(sq_data, thread) : 0;

	walk.end = ring + OFFSET(struct io_ring_ctx, tctx_list);
	walk.cursor = read_u64(walk.end);
	if (bpf_loop(URING_MAX_STEPS, attachment_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
	if (thread)
		emit_attachment(thread, 1);
}
