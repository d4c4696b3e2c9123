// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * struct io_kiocb (include/linux/io_uring_types.h): requests that have not completed, in every place where one can be.
 *
 *   of a ring    cancel table (armed polls), timeouts, drain list, IOPOLL list, waitid, futex and uring_cmd lists, task
 *                work of DEFER_TASKRUN, fallback list, the batch that is being completed
 *   of a thread  io-wq queues, running workers, the hashed works behind a worker, task work
 *   of a request the chain linked to it
 *
 * The counters say how many there must be: allocated less free ones. What is on no list (block I/O under way, zero-copy
 * notifications) shows as a difference.
 */
#include "bpf/uring.bpf.h"

#include "iterators/uring_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

RECORD_MAP(uring_requests, uring_request_record);
RECORD_MAP(uring_blobs, uring_blob_record);
RECORD_MAP(uring_attachments, uring_attachment_record);
RECORD_MAP(uring_tasks, uring_task_record);
RECORD_MAP(uring_counts, uring_count_record);

/* The ring or the thread being walked. */
__u64 ring;
__u64 tctx;
__u32 truncated;

#define CTX ((struct io_ring_ctx *)ring)

/* --- memory of a request -------------------------------------------------------------------------------------------
 */

struct {
	__u64 request;
	__u64 address;
	__u32 kind;
	__u32 total;
} blob;

static long blob_step(__u32 index, void *unused)
{
	__u32 offset = index * URING_BLOB_BYTES, length = blob.total - offset;
	struct uring_blob_record *record;

	if (offset >= blob.total)
		return 1;
	if (length > URING_BLOB_BYTES)
		length = URING_BLOB_BYTES;
	record = NEXT_RECORD(uring_blobs);
	if (!record)
		return 0;
	record->request = blob.request;
	record->kind = blob.kind;
	record->offset = offset;
	record->length = length;
	record->total = blob.total;
	record->pad = 0;
	/* A slab object is seldom a whole number of blobs; what lies behind it is mapped all the same. */
	bpf_probe_read_kernel(record->data, URING_BLOB_BYTES, (void *)(blob.address + offset));
	return 0;
}

#define MAX_BLOB (64 << 10)

static __always_inline void copy_blob(__u64 request, __u32 kind, __u64 address, __u32 total)
{
	if (!address || !total)
		return;
	blob.request = request;
	blob.kind = kind;
	blob.address = address;
	blob.total = total > MAX_BLOB ? MAX_BLOB : total;
	bpf_loop(MAX_BLOB / URING_BLOB_BYTES + 1, blob_step, NULL, 0);
}

static __always_inline void copy_iovecs(__u64 request, __u64 iter_address)
{
	struct iov_iter *iter = (void *)iter_address;
	__u64 vector;

	if (BPF_CORE_READ(iter, iter_type) != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
		return;
	if (bpf_core_field_exists(iter->__iov))
		vector = (__u64)BPF_CORE_READ(iter, __iov);
	else
		vector = (__u64)BPF_CORE_READ((struct iov_iter___v61 *)iter, iov);
	copy_blob(request, URING_BLOB_IOVECS, vector, BPF_CORE_READ(iter, nr_segs) * 16);
}

/* enum io_uring_op, include/uapi/linux/io_uring.h */
enum {
	OP_READV = 1,
	OP_WRITEV = 2,
	OP_SENDMSG = 9,
	OP_RECVMSG = 10,
	OP_OPENAT = 18,
	OP_SEND = 26,
	OP_RECV = 27,
	OP_OPENAT2 = 28,
	OP_URING_CMD = 46,
	OP_SEND_ZC = 47,
	OP_SENDMSG_ZC = 48,
	OP_FUTEX_WAITV = 53,
	OP_READV_FIXED = 60,
	OP_WRITEV_FIXED = 61,
};

static __always_inline __u64 iter_of_message(__u64 async)
{
	return async + bpf_core_field_offset(struct io_async_msghdr, msg) +
	       bpf_core_field_offset(struct msghdr, msg_iter);
}

static __always_inline __u64 iter_of_rw(__u64 async)
{
	if (bpf_core_field_exists(struct io_async_rw, iter))
		return async + bpf_core_field_offset(struct io_async_rw, iter);
	return async + bpf_core_field_offset(struct io_async_rw___v61, s.iter);
}

/* The fresh copy of the request being emitted: one probe read for all of its fields. */
__u64 kiocb_words[64];

/* What only the kernel's copies tell: the argument structures of the program may be gone by now. */
static __always_inline void copy_async(__u64 request, __u64 async, __u8 opcode)
{
	__u32 bytes = URING_BLOB_BYTES;

	if (bpf_core_field_exists(struct io_futex, futex_nr) && bpf_core_type_exists(struct futex_vector) &&
	    opcode == OP_FUTEX_WAITV)
		bytes = (((struct io_futex *)kiocb_words)->futex_nr & 0xff) * bpf_core_type_size(struct futex_vector) +
			16;
	copy_blob(request, URING_BLOB_ASYNC, async, bytes);
	switch (opcode) {
	case OP_READV:
	case OP_WRITEV:
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
		copy_iovecs(request, iter_of_rw(async));
		break;
	case OP_SENDMSG:
	case OP_RECVMSG:
	case OP_SENDMSG_ZC:
	case OP_SEND:
	case OP_RECV:
		copy_iovecs(request, iter_of_message(async));
		break;
	}
}

static __always_inline void copy_path(__u64 request)
{
	struct io_open *open = (void *)kiocb_words;
	struct uring_blob_record *record;
	long length;

	if (!bpf_core_field_exists(open->filename) || !open->filename)
		return;
	blob.address = (__u64)BPF_CORE_READ(open->filename, name);
	record = NEXT_RECORD(uring_blobs);
	if (!record)
		return;
	record->request = request;
	record->kind = URING_BLOB_PATH;
	record->offset = 0;
	record->pad = 0;
	length = bpf_probe_read_kernel_str(record->data, URING_BLOB_BYTES, (void *)blob.address);
	record->length = length > 0 ? length : 0;
	record->total = record->length;
}

/* --- one request ---------------------------------------------------------------------------------------------------
 */

static __always_inline __u64 tctx_of(struct io_kiocb *request)
{
	struct task_struct *task;

	if (bpf_core_field_exists(request->tctx))
		return (__u64)request->tctx;
	task = ((struct io_kiocb___task *)request)->task;
	return (__u64)BPF_CORE_READ(task, io_uring);
}

/* The kiocb starts with its command, and that with the file: include/linux/io_uring_types.h, struct io_cmd_data. */
static __always_inline void emit_fields(struct uring_request_record *record, struct io_kiocb *request)
{
	__builtin_memcpy(record->command, kiocb_words, URING_COMMAND_BYTES);
	record->file = (__u64)request->file;
	record->ring = (__u64)request->ctx;
	record->file_node = bpf_core_field_exists(request->file_node) ? (__u64)request->file_node : 0;
	record->buffer = (__u64)request->kbuf;
	record->tctx = tctx_of(request);
	record->link = (__u64)request->link;
	record->creds = (__u64)request->creds;
	record->apoll = (__u64)request->apoll;
	record->async_data = (__u64)request->async_data;
	record->task_work = (__u64)request->io_task_work.func;
	record->user_data = request->cqe.user_data;
	record->res = request->cqe.res;
	record->cqe_flags = request->cqe.flags;
	record->poll_refs = request->poll_refs.counter;
	if (bpf_core_field_exists(request->work.flags.counter))
		record->work_flags = request->work.flags.counter;
	else
		record->work_flags = ((struct io_kiocb___v61 *)request)->work.flags;
	record->apoll_events = request->apoll_events;
	record->buf_index = request->buf_index;
	record->opcode = request->opcode;
	if (bpf_core_field_size(request->flags) == 8)
		record->req_flags = request->flags;
	else
		record->req_flags = ((struct io_kiocb___v61 *)request)->flags;
}

__noinline int emit_request(__u64 address, __u32 place, __u32 sequence)
{
	struct io_kiocb *request = (void *)kiocb_words;
	struct uring_request_record *record;
	struct async_poll *apoll;
	__u32 bytes = bpf_core_type_size(struct io_kiocb);

	if (bytes > sizeof(kiocb_words))
		return 1;
	if (bpf_probe_read_kernel(kiocb_words, bytes, (void *)address)) {
		truncated = 1;
		return 1;
	}
	record = NEXT_RECORD(uring_requests);
	if (!record)
		return 0;
	record->request = address;
	record->place = place;
	record->sequence = sequence;
	emit_fields(record, request);
	apoll = request->apoll;
	record->armed_events = apoll ? BPF_CORE_READ(apoll, poll.events) : 0;
	if (record->async_data)
		copy_async(address, record->async_data, record->opcode);
	if (record->opcode == OP_OPENAT || record->opcode == OP_OPENAT2)
		copy_path(address);
	if (record->opcode == OP_URING_CMD && bpf_core_field_exists(struct io_uring_cmd, sqe))
		copy_blob(address, URING_BLOB_COMMAND, (__u64)((struct io_uring_cmd *)kiocb_words)->sqe, 128);
	return 0;
}

/* --- lists of requests ---------------------------------------------------------------------------------------------
 */

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
} walk;

static long walk_step(__u32 index, void *unused)
{
	__u64 node = walk.cursor;

	if (!node || node == walk.end)
		return 1;
	walk.cursor = read_u64(node);
	if (node == walk.stub)
		return 0;
	if (walk.offset & INDIRECT)
		emit_request(read_u64(node + (walk.offset & ~INDIRECT)), walk.place, index);
	else
		emit_request(node - walk.offset, walk.place, index);
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
		walk_requests((__u64)BPF_CORE_READ(CTX, work_llist.first), 0, KIOCB_TASK_WORK, URING_PLACE_TASK_WORK);
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
	record->tid = tid_of(task_address);
	record->sq_thread = sq_thread;
}

static long attachment_step(__u32 index, void *unused)
{
	__u64 node = walk.cursor;

	if (!node || node == walk.end)
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

/* --- counters ------------------------------------------------------------------------------------------------------
 */

static long free_step(__u32 index, void *unused)
{
	if (!walk.cursor)
		return 1;
	walk.cursor = read_u64(walk.cursor);
	return 0;
}

static __always_inline __u32 free_requests(void)
{
	struct io_ring_ctx___v61 *v61 = (void *)ring;
	__u32 count;

	walk.cursor = (__u64)BPF_CORE_READ(CTX, submit_state.free_list.next);
	/* bpf_loop() counts the step that found the end, too */
	count = bpf_loop(URING_MAX_STEPS, free_step, NULL, 0) - 1;
	if (bpf_core_field_exists(v61->locked_free_nr))
		count += BPF_CORE_READ(v61, locked_free_nr);
	return count;
}

/* Before v6.16: references, less that of the ring itself; include/linux/percpu-refcount.h for the layout. */
static __always_inline __u32 allocated_by_references(__u32 *unknown)
{
	__u64 percpu = BPF_CORE_READ(CTX, refs.percpu_count_ptr);

	if (percpu & 3) {
		*unknown = 1;
		return 0;
	}
	return BPF_CORE_READ(CTX, refs.data, count.counter) + sum_over_cpus(percpu, 0) - 1;
}

static __always_inline void count_requests(struct uring_count_record *record)
{
	struct io_rings *rings = BPF_CORE_READ(CTX, rings);
	struct uring_counters *counters = &record->counters;

	record->ring = ring;
	record->unknown = 0;
	counters->free = free_requests();
	if (bpf_core_field_exists(CTX->nr_req_allocated))
		counters->allocated = BPF_CORE_READ(CTX, nr_req_allocated);
	else
		counters->allocated = allocated_by_references(&record->unknown);
	counters->cached_sq_head = BPF_CORE_READ(CTX, cached_sq_head);
	counters->cached_cq_tail = BPF_CORE_READ(CTX, cached_cq_tail);
	counters->sq_head = BPF_CORE_READ(rings, sq.head);
	counters->sq_tail = BPF_CORE_READ(rings, sq.tail);
	counters->cq_head = BPF_CORE_READ(rings, cq.head);
	counters->cq_tail = BPF_CORE_READ(rings, cq.tail);
	counters->mutex_owner = BPF_CORE_READ(CTX, uring_lock.owner.counter);
}

/* --- of a thread ----------------------------------------------------------------------------------------------------
 */

static long worker_step(__u32 index, void *unused)
{
	__u64 worker = walk.cursor - OFFSET(struct io_worker, all_list), work;

	if (!walk.cursor || walk.cursor == walk.end)
		return 1;
	walk.cursor = read_u64(walk.cursor);
	work = (__u64)BPF_CORE_READ((struct io_worker *)worker, cur_work);
	if (work)
		emit_request(work - KIOCB(work), URING_PLACE_WQ_WORKER, index);
	return 0;
}

static __always_inline void walk_workers(__u64 list)
{
	walk.end = list;
	walk.cursor = read_u64(list);
	if (bpf_loop(URING_MAX_STEPS, worker_step, NULL, 0) == URING_MAX_STEPS)
		truncated = 1;
}

static __always_inline void walk_acct(struct uring_task_record *record, __u64 address, __u32 kind)
{
	struct io_wq_acct *acct = (void *)(address + kind * bpf_core_type_size(struct io_wq_acct));

	if (record) {
		record->workers[kind] += BPF_CORE_READ(acct, nr_workers);
		record->max_workers[kind] = BPF_CORE_READ(acct, max_workers);
	}
	walk_requests((__u64)BPF_CORE_READ(acct, work_list.first), 0, KIOCB_WORK, URING_PLACE_WQ_QUEUE);
	if (bpf_core_field_exists(acct->all_list))
		walk_workers((__u64)acct + bpf_core_field_offset(acct->all_list));
}

/* v6.1 */
static __always_inline void walk_old_acct(struct uring_task_record *record, __u64 address, __u32 kind)
{
	struct io_wqe_acct *acct = (void *)(address + kind * bpf_core_type_size(struct io_wqe_acct));

	if (record) {
		record->workers[kind] += BPF_CORE_READ(acct, nr_workers);
		record->max_workers[kind] = BPF_CORE_READ(acct, max_workers);
	}
	walk_requests((__u64)BPF_CORE_READ(acct, work_list.first), 0, KIOCB_WORK, URING_PLACE_WQ_QUEUE);
}

static __always_inline void walk_wq(struct uring_task_record *record, __u64 wq)
{
	struct io_wq___v61 *v61 = (void *)wq;
	struct io_wq___v612 *v612 = (void *)wq;
	struct io_wqe___v61 *node;

	if (bpf_core_field_exists(v61->wqes)) {
		/* one for each NUMA node; nodes behind the first are told by their pointer back */
		for (int i = 0; i < 8; i++) {
			node = (void *)read_u64(wq + bpf_core_field_offset(v61->wqes) + i * 8);
			if (!node || (__u64)BPF_CORE_READ(node, wq) != wq)
				break;
			walk_old_acct(record, (__u64)node + bpf_core_field_offset(node->acct), 0);
			walk_old_acct(record, (__u64)node + bpf_core_field_offset(node->acct), 1);
			walk_workers((__u64)node + bpf_core_field_offset(node->all_list));
		}
		return;
	}
	walk_acct(record, wq + OFFSET(struct io_wq, acct), 0);
	walk_acct(record, wq + OFFSET(struct io_wq, acct), 1);
	if (bpf_core_field_exists(v612->all_list))
		walk_workers(wq + bpf_core_field_offset(v612->all_list));
}

static __always_inline void emit_affinity(struct uring_task_record *record, __u64 wq)
{
	struct io_wq___onstack *onstack = (void *)wq;
	struct io_wq___v61 *v61 = (void *)wq;
	struct io_wqe___onstack *node_onstack;
	struct io_wqe___v61 *node;
	__u32 bytes = bpf_core_type_size(struct cpumask);
	__u64 mask;

	if (bpf_core_field_exists(v61->wqes)) {
		/* of the first NUMA node: IORING_REGISTER_IOWQ_AFF sets all alike */
		node = (void *)read_u64(wq + bpf_core_field_offset(v61->wqes));
		node_onstack = (void *)node;
		if (bpf_core_field_exists(node_onstack->cpu_mask))
			mask = (__u64)node + bpf_core_field_offset(node_onstack->cpu_mask);
		else
			mask = (__u64)BPF_CORE_READ(node, cpu_mask);
	} else if (bpf_core_field_exists(onstack->cpu_mask))
		mask = wq + bpf_core_field_offset(onstack->cpu_mask);
	else
		mask = (__u64)BPF_CORE_READ((struct io_wq *)wq, cpu_mask);
	if (bytes > sizeof(record->affinity))
		bytes = sizeof(record->affinity);
	bpf_probe_read_kernel(record->affinity, bytes, (void *)mask);
}

static __always_inline void walk_task(struct uring_task_record *record)
{
	struct io_uring_task *task_context = (void *)tctx;
	struct io_uring_task___v72 *v72 = (void *)tctx;
	__u64 wq = (__u64)BPF_CORE_READ(task_context, io_wq);

	if (record) {
		record->tctx = tctx;
		record->wq = wq;
		record->inflight = BPF_CORE_READ(task_context, inflight.count) -
				   BPF_CORE_READ(task_context, cached_refs) +
				   (__s64)sum_over_cpus((__u64)BPF_CORE_READ(task_context, inflight.counters), 1);
		if (wq)
			emit_affinity(record, wq);
	}
	if (wq)
		walk_wq(record, wq);
	if (bpf_core_field_exists(v72->task_head))
		walk_task_work((__u64)BPF_CORE_READ(v72, task_head), tctx + bpf_core_field_offset(v72->task_list));
	else
		walk_requests((__u64)BPF_CORE_READ(task_context, task_list.first), 0, KIOCB_TASK_WORK,
			      URING_PLACE_TASK_WORK);
}

/* --- programs -------------------------------------------------------------------------------------------------------
 */

static __always_inline __u64 input_at(__u32 index)
{
	__u64 *input = index < uring_inputs_count ? bpf_map_lookup_elem(&uring_inputs, &index) : NULL;

	return input ? *input : 0;
}

static long ring_step(__u32 index, void *unused)
{
	ring = input_at(index);
	if (!ring)
		return 1;
	walk_polls();
	walk_waiting();
	walk_completing();
	walk_attachments();
	return 0;
}

/* Inputs: struct io_ring_ctx. */
SEC("syscall")
int uring_walk_requests(void *unused)
{
	bpf_loop(URING_MAX_STEPS, ring_step, NULL, 0);
	return 0;
}

static long count_step(__u32 index, void *unused)
{
	struct uring_count_record *record;

	ring = input_at(index);
	if (!ring)
		return 1;
	record = NEXT_RECORD(uring_counts);
	if (record)
		count_requests(record);
	return 0;
}

/* Inputs: struct io_ring_ctx. Run before and after the walk. */
SEC("syscall")
int uring_count_requests(void *unused)
{
	bpf_loop(URING_MAX_STEPS, count_step, NULL, 0);
	return 0;
}

static long task_step(__u32 index, void *unused)
{
	struct uring_task_record *record;

	tctx = input_at(index);
	if (!tctx)
		return 1;
	record = NEXT_RECORD(uring_tasks);
	if (record)
		__builtin_memset(record, 0, sizeof(*record));
	walk_task(record);
	return 0;
}

/* Inputs: struct io_uring_task. */
SEC("syscall")
int uring_walk_tasks(void *unused)
{
	bpf_loop(URING_MAX_STEPS, task_step, NULL, 0);
	return 0;
}

/* First request record whose chain and hashed works were not followed yet. */
__u32 uring_followed;

static long follow_step(__u32 unused_index, void *unused)
{
	__u32 index = uring_followed;
	struct uring_request_record *record;
	__u64 request;

	if (index >= uring_requests_count)
		return 1;
	record = bpf_map_lookup_elem(&uring_requests, &index);
	if (!record)
		return 1;
	uring_followed = index + 1;
	request = record->request;
	/* Works for one inode run one after the other; those that wait hang behind the running one, not in the queue.
	 */
	if (record->place == URING_PLACE_WQ_WORKER)
		walk_requests(read_u64(request + KIOCB_WORK), 0, KIOCB_WORK, URING_PLACE_WQ_HASHED);
	/* A chain whose head was found elsewhere is followed from each of its members: the next one at a time. */
	if (record->link)
		emit_request(record->link, URING_PLACE_LINK, record->sequence + 1);
	return 0;
}

/* After all walks: what hangs on the requests that were found, until nothing new is. */
SEC("syscall")
int uring_follow_requests(void *unused)
{
	bpf_loop(URING_MAX_STEPS, follow_step, NULL, 0);
	return 0;
}
