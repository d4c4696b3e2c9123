/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists that the kernel changes while they are walked: list_del_init() makes an entry its own successor, and a walk
 * that is at that entry would see it until its bound. Timeouts that fire, signals that are taken, locks that are given
 * back and watches that are removed leave their lists in that way.
 */
#pragma once

#include <linux/types.h>

/* Where the walk was at its last power of two steps (Brent): if it has got into a circle, it comes by there again. One
 * walk at a time. In memory, so that the verifier does not follow it. */
struct {
	__u64 node;
	__u32 next;
	__u32 is_circle; /* the walk has been found to go round */
} milestone;

/* Called with each node of a walk and its number: whether to leave it. */
static __always_inline int goes_round(__u64 node, __u32 index)
{
	if (!index) {
		milestone.node = 0;
		milestone.next = 0;
		milestone.is_circle = 0;
	}
	if (node == milestone.node) {
		milestone.is_circle = 1;
		return 1;
	}
	if (index == milestone.next) {
		milestone.node = node;
		milestone.next = 2 * index + 1;
	}
	return 0;
}

/* After a walk of at least one step. */
static __always_inline int went_round(void)
{
	return milestone.is_circle;
}
