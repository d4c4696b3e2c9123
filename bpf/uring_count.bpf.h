/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many requests there are, by the kernel's own counts: what proves that a walk found all.
 */
#pragma once

#include "bpf/uring_lists.bpf.h"

RECORD_MAP(uring_counts, uring_count_record);

/* --- sums over CPUs ------------------------------------------------------------------------------------------------
 */

/* An element of ours, whose per-CPU addresses tell the offset of each CPU: __per_cpu_offset need not be in kallsyms. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} cpu_probe SEC(".maps");

struct {
	__u64 scratch;
	__u64 percpu; /* per-CPU address of its element, before any offset is added */
	__u64 base;
	__u64 sum;
	__u32 is_s32;
} cpu_sum;

/* The verifier forbids arithmetic on pointers of maps, but not on the numbers that memory gives back. */
static __always_inline __u64 as_number(const void *pointer)
{
	*(volatile __u64 *)&cpu_sum.scratch = (__u64)pointer;
	return *(volatile __u64 *)&cpu_sum.scratch;
}

static long cpu_sum_step(__u32 cpu, void *unused)
{
	__u32 zero = 0;
	void *element = bpf_map_lookup_percpu_elem(&cpu_probe, &zero, cpu);
	__u64 address;

	if (!element)
		return 1;
	address = cpu_sum.base + as_number(element) - cpu_sum.percpu;
	if (cpu_sum.is_s32) {
		__s32 value = 0;

		READ(value, address);
		cpu_sum.sum += value;
	} else {
		cpu_sum.sum += read_u64(address);
	}
	return 0;
}

static __always_inline __u64 sum_over_cpus(__u64 percpu_address, __u32 is_s32)
{
	cpu_sum.percpu = read_u64(as_number(&cpu_probe) + bpf_core_field_offset(struct bpf_array, pptrs));
	cpu_sum.base = percpu_address;
	cpu_sum.sum = 0;
	cpu_sum.is_s32 = is_s32;
	bpf_loop(4096, cpu_sum_step, NULL, 0);
	return cpu_sum.sum;
}

/* --- counters ------------------------------------------------------------------------------------------------------
 */

static long free_step(__u32 index, void *unused)
{
	if (!walk.cursor || is_lost(walk.cursor, index))
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
