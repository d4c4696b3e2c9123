/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The items of an epoll instance, a red-black tree (fs/eventpoll.c: struct eventpoll.rbr). */
#pragma once

#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/anon_files.h"

#define MAX_EPOLL_ITEMS (1 << 20)
#define MAX_TREE_DEPTH  48

RECORD_MAP(epoll_items, epoll_item_record);

struct epoll_walk {
	struct rb_node *node;
	struct file_record *record;
};

struct rb_walk {
	struct rb_node *node;
};

static long left_step(__u32 index, struct rb_walk *walk)
{
	struct rb_node *node = walk->node;
	struct rb_node *left = BPF_CORE_READ(node, rb_left);

	if (!left)
		return 1;
	walk->node = left;
	return 0;
}

static long up_step(__u32 index, struct rb_walk *walk)
{
	struct rb_node *node = walk->node;
	struct rb_node *above = (struct rb_node *)(BPF_CORE_READ(node, __rb_parent_color) & ~3UL);

	walk->node = above;
	return !above || BPF_CORE_READ(above, rb_right) != node;
}

/* lib/rbtree.c: rb_next(). */
static __always_inline struct rb_node *rb_next(struct rb_node *node)
{
	struct rb_node *right = BPF_CORE_READ(node, rb_right);
	struct rb_walk walk = {.node = right};

	if (right) {
		bpf_loop(MAX_TREE_DEPTH, left_step, &walk, 0);
		return walk.node;
	}
	walk.node = node;
	return bpf_loop(MAX_TREE_DEPTH, up_step, &walk, 0) < MAX_TREE_DEPTH ? walk.node : NULL;
}

static long epoll_step(__u32 index, struct epoll_walk *walk)
{
	struct epitem *item = (void *)walk->node - bpf_core_field_offset(struct epitem, rbn);
	struct epoll_item_record *record;

	if (!walk->node)
		return 1;
	record = NEXT_RECORD(epoll_items);
	if (record) {
		struct epitem___v612 *old = (void *)item;
		struct list_head *link = &item->rdllink;
		long overflow;

		if (bpf_core_field_exists(old->next))
			overflow = (long)BPF_CORE_READ(old, next);
		else
			overflow = (long)BPF_CORE_READ(item, ovflist_next);
		record->epoll = walk->record->file;
		record->file = (__u64)BPF_CORE_READ(item, ffd.file);
		record->fd = BPF_CORE_READ(item, ffd.fd);
		record->events = BPF_CORE_READ(item, event.events);
		record->data = BPF_CORE_READ(item, event.data);
		/* Not on the list: an empty list_head; ovflist_next: EP_UNACTIVE_PTR, -1. */
		record->ready = BPF_CORE_READ(link, next) != link || overflow != -1;
		record->padding = 0;
	}
	walk->record->epoll.items++;
	walk->node = rb_next(&item->rbn);
	return 0;
}

static __noinline int describe_epoll(struct file_record *record)
{
	struct epoll_walk walk = {.record = record};
	struct eventpoll *ep;

	if (!record)
		return 0;
	ep = (void *)record->private_data;
	walk.node = BPF_CORE_READ(ep, rbr.rb_leftmost);
	record->epoll.items = 0;
	record->epoll.busy_poll = bpf_core_field_exists(ep->busy_poll_usecs) &&
				  (BPF_CORE_READ(ep, busy_poll_usecs) || BPF_CORE_READ(ep, busy_poll_budget) ||
				   BPF_CORE_READ(ep, prefer_busy_poll));
	if (bpf_loop(MAX_EPOLL_ITEMS, epoll_step, &walk, 0) == MAX_EPOLL_ITEMS)
		record->path_flags |= FILE_LISTS_CUT;
	return 0;
}
