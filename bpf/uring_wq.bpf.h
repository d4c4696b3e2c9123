/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread keeps for its rings (struct io_uring_task): io-wq with its queues and workers (io_uring/io-wq.c), and
 * task work.
 */
#pragma once

#include "bpf/uring_count.bpf.h"
#include "bpf/uring_lists.bpf.h"

RECORD_MAP(uring_tasks, uring_task_record);

#define MAX_NODES 8

/* The thread being walked. */
__u64 tctx;

/*
 * TASK_INTERRUPTIBLE (include/linux/sched.h). Between taking a work and beginning with it a worker is in that state,
 * too (io_uring/io-wq.c: io_worker_handle_work()), on a CPU, or waiting for one. A task that has gone to sleep may stay
 * on its queue for a while (kernel/sched/fair.c: dequeue_entity(), since v6.12).
 */
static __always_inline __u32 is_asleep(struct task_struct *task)
{
	if (!(BPF_CORE_READ(task, __state) & 1) || BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu))
		return 0;
	if (!BPF_CORE_READ_BITFIELD_PROBED(task, on_rq))
		return 1;
	return bpf_core_field_exists(task->se.sched_delayed) && BPF_CORE_READ(task, se.sched_delayed);
}

static long worker_step(__u32 index, void *unused)
{
	__u64 worker = walk.cursor - OFFSET(struct io_worker, all_list), work;

	if (!walk.cursor || walk.cursor == walk.end || is_lost(walk.cursor, index))
		return 1;
	walk.cursor = read_u64(walk.cursor);
	work = (__u64)BPF_CORE_READ((struct io_worker *)worker, cur_work);
	if (work) {
		worker_asleep = is_asleep(BPF_CORE_READ((struct io_worker *)worker, task));
		emit_request(work - KIOCB(work), URING_PLACE_WQ_WORKER, index);
		worker_asleep = 0;
	}
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
		for (int i = 0;; i++) {
			node = (void *)read_u64(wq + bpf_core_field_offset(v61->wqes) + i * 8);
			if (!node || (__u64)BPF_CORE_READ(node, wq) != wq)
				break;
			if (i == MAX_NODES) {
				truncated = 1;
				break;
			}
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
		walk_task_work_stack((__u64)BPF_CORE_READ(task_context, task_list.first));
}
