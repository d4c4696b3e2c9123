/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel types that every subsystem uses (include/linux/types.h, rbtree_types.h, refcount_types.h, bpf_iter).
 *
 * The headers of this folder hold only what bpfckpt reads. Offsets come from the BTF of the running kernel; older and
 * newer layouts are flavours, struct name___v61, chosen where they are read by bpf_core_field_exists().
 */
#pragma once

#include <linux/types.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct rb_node {
	unsigned long __rb_parent_color;
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct rb_root_cached {
	struct rb_root rb_root;
	struct rb_node *rb_leftmost;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	__s64 counter;
} atomic_long_t;

struct mutex {
	atomic_long_t owner;
};

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

typedef __s64 ktime_t;

/* _NSIG is 64 on x86-64 and arm64. */
typedef struct {
	unsigned long sig[1];
} sigset_t;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

#pragma clang attribute pop
