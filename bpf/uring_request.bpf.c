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
#include <linux/types.h>

#include "bpf/uring_count.bpf.h"
#include "bpf/uring_lists.bpf.h"
#include "bpf/uring_wq.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* --- programs -------------------------------------------------------------------------------------------------------
 */

static long ring_step(__u32 index, void *unused)
{
	ring = INPUT(uring_inputs, index);
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
	remember_own_pidns();
	submitter = 0;
	bpf_loop(URING_MAX_STEPS, ring_step, NULL, 0);
	return 0;
}

static long count_step(__u32 index, void *unused)
{
	struct uring_count_record *record;

	ring = INPUT(uring_inputs, index);
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

	tctx = INPUT(uring_inputs, index);
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
	remember_own_pidns();
	submitter = 0;
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
	if (leads_on)
		bpf_loop(URING_MAX_STEPS, follow_step, NULL, 0);
	leads_on = 0;
	uring_followed = uring_requests_count;
	return 0;
}
