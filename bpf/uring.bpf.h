/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the io_uring programs share: tids, xarrays, sums over CPUs, and where their input comes from.
 *
 * A walk keeps its state in global variables, not on the stack: nested bpf_loop() callbacks share 512 bytes of it, and
 * the verifier need not follow what is in memory. Every walk is lock-free over memory that may change under it: loads
 * are probe reads, loops are bounded, and the counts taken before and after tell whether it was a snapshot.
 */
#pragma once

#include "vmlinux/io_uring.h"

#include "bpf/records.bpf.h"

/* No list of a ring is longer: requests are bounded by memory long before. */
#define URING_MAX_STEPS (1 << 20)

/* Nesting depth of our own PID namespace: tids are numbers of it. */
const volatile __u32 own_pid_level;

/* Addresses to walk, written by user space before the program runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} uring_inputs SEC(".maps");

__u32 uring_inputs_count;

#define READ(destination, address) bpf_probe_read_kernel(&(destination), sizeof(destination), (const void *)(address))

static __always_inline __u64 read_u64(__u64 address)
{
	__u64 value = 0;

	READ(value, address);
	return value;
}

static __always_inline __u32 tid_of(__u64 task_address)
{
	struct task_struct *task = (void *)task_address;
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 nr = 0;

	if (!pid || BPF_CORE_READ(pid, level) < own_pid_level)
		return 0;
	READ(nr, (__u64)pid + bpf_core_field_offset(struct pid, numbers) +
			 own_pid_level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return nr;
}

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

/* --- xarrays -------------------------------------------------------------------------------------------------------
 */

/*
 * Steps over all present entries of an xarray by index: descends from the head for each, and skips what an empty slot
 * covers. xa_next() is called from a bpf_loop() callback; 0 says that this step found no entry.
 */
struct {
	__u64 head;
	__u64 index; /* to look at next */
	__u64 found; /* index of the entry that xa_next() returned */
	__u64 limit; /* first index that the tree cannot hold */
} xa;

#define XA_CHUNK_SHIFT 6
#define XA_CHUNK_SIZE  (1 << XA_CHUNK_SHIFT)
#define XA_MAX_DEPTH   4

/* include/linux/xarray.h: xa_is_node() */
static __always_inline int xa_is_node(__u64 entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

static __always_inline __u32 xa_shift(__u64 entry)
{
	struct xa_node *node = (void *)(entry - 2);

	return BPF_CORE_READ(node, shift) & 63;
}

static __always_inline void xa_begin(__u64 head)
{
	xa.head = head;
	xa.index = 0;
	xa.limit = !head ? 0 : xa_is_node(head) ? (__u64)XA_CHUNK_SIZE << xa_shift(head) : 1;
}

static __always_inline __u64 xa_next(void)
{
	__u64 entry = xa.head, index = xa.index;
	__u32 shift = 0;

	for (int depth = 0; depth < XA_MAX_DEPTH && xa_is_node(entry); depth++) {
		shift = xa_shift(entry);
		entry = read_u64(entry - 2 + bpf_core_field_offset(struct xa_node, slots) +
				 ((index >> shift) & (XA_CHUNK_SIZE - 1)) * sizeof(void *));
	}
	/* What is left of the internal entries is no pointer: XA_ZERO_ENTRY keeps index 0 of an allocating xarray. */
	if ((entry & 3) == 2)
		entry = 0;
	xa.found = index;
	xa.index = entry ? index + 1 : ((index >> shift) + 1) << shift;
	return entry;
}
