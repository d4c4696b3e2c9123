/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the io_uring programs share: the ring being walked, tids, and where their input comes from.
 *
 * A walk keeps its state in global variables, not on the stack: nested bpf_loop() callbacks share 512 bytes of it, and
 * the verifier need not follow what is in memory. Every walk is lock-free over memory that may change under it: loads
 * are probe reads, loops are bounded, and the counts taken before and after tell whether it was a snapshot.
 */
#pragma once

#include "bpf/circle.bpf.h"
#include "bpf/kernel_read.bpf.h"
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "vmlinux/io_uring.h"

/* No list of a ring is longer: requests are bounded by memory long before. */
#define URING_MAX_STEPS (1 << 20)

/* The ring being walked. */
__u64 ring;
#define CTX ((struct io_ring_ctx *)ring)

/* A list did not end within its bound, went round, or held what could not be read. */
__u32 truncated;

/* Addresses to walk, written by user space before the program runs. */
INPUT_MAP(uring_inputs);

/* With each node of a walk and its number, one walk at a time: whether it has left its list for a circle. */
static __always_inline int is_lost(__u64 node, __u32 index)
{
	if (!goes_round(node, index))
		return 0;
	truncated = 1;
	return 1;
}

/* Our PID namespace, taken when a program starts: tids are numbers of it. (No struct: the skeleton would name it.) */
__u64 own_ns;
__u32 own_level;

static __always_inline void remember_own_pidns(void)
{
	struct own_pidns own = own_pidns();

	own_ns = (__u64)own.ns;
	own_level = own.level;
}

static __always_inline __u32 number_of(const struct pid *pid)
{
	struct own_pidns own = {.ns = (void *)own_ns, .level = own_level};

	return own_pid_nr(&own, pid);
}

static __always_inline __u32 tid_of(const struct task_struct *task)
{
	return number_of(BPF_CORE_READ(task, thread_pid));
}
