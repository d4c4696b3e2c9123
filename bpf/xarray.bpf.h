/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Xarrays (include/linux/xarray.h).
 *
 * Steps over all present entries of an xarray by index: descends from the head for each, and skips what an empty slot
 * covers. xa_next() is called from a bpf_loop() callback; 0 says that this step found no entry.
 */
#pragma once

#include "bpf/kernel_read.bpf.h"
#include "vmlinux/xarray.h"

struct {
	__u64 head;
	__u64 index; /* to look at next */
	__u64 found; /* index of the entry that xa_next() returned */
	__u64 limit; /* first index that the tree cannot hold */
} xa;

#define XA_CHUNK_SHIFT 6
#define XA_CHUNK_SIZE  (1 << XA_CHUNK_SHIFT)
#define XA_MAX_DEPTH   11 /* 64 bits of index, 6 at a time */

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

/* include/linux/xarray.h: xa_is_sibling(): an entry of several slots is in the first of them, whose number this is. */
static __always_inline int xa_is_sibling(__u64 entry)
{
	return (entry & 3) == 2 && entry >> 2 < XA_CHUNK_SIZE - 1;
}

static __always_inline __u64 xa_next(void)
{
	__u64 entry = xa.head, index = xa.index, slots = 0;
	__u32 shift = 0;

	for (int depth = 0; depth < XA_MAX_DEPTH && xa_is_node(entry); depth++) {
		shift = xa_shift(entry);
		slots = entry - 2 + bpf_core_field_offset(struct xa_node, slots);
		entry = read_u64(slots + ((index >> shift) & (XA_CHUNK_SIZE - 1)) * sizeof(void *));
	}
	if (slots && xa_is_sibling(entry))
		entry = read_u64(slots + (entry >> 2) * sizeof(void *));
	/* What is left of the internal entries is no pointer: XA_ZERO_ENTRY keeps index 0 of an allocating xarray. */
	if ((entry & 3) == 2)
		entry = 0;
	xa.found = index;
	xa.index = entry ? index + 1 : ((index >> shift) + 1) << shift;
	return entry;
}
