/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* File locks and leases (include/linux/filelock.h). */
#pragma once

#include "bpf/circle.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/fs.h"

#define MAX_LOCKS (1 << 20)

RECORD_MAP(locks, lock_record);

struct lock_walk {
	struct list_head *node;
	struct list_head *head;
	struct file_record *record;
	__u32 kind;
};

static __always_inline void describe_lock(struct lock_record *record, struct list_head *node)
{
	struct file_lock *lock = (void *)node - bpf_core_field_offset(struct file_lock_core, flc_list);

	record->owner = (__u64)BPF_CORE_READ(lock, c.flc_owner);
	record->flags = BPF_CORE_READ(lock, c.flc_flags);
	record->type = BPF_CORE_READ(lock, c.flc_type);
	record->pid = BPF_CORE_READ(lock, c.flc_pid);
	/* A lease covers the whole file and has no range of its own. */
	record->start = record->kind == LOCK_LEASE ? 0 : BPF_CORE_READ(lock, fl_start);
	record->end = record->kind == LOCK_LEASE ? ~0ULL >> 1 : BPF_CORE_READ(lock, fl_end);
}

static __always_inline void describe_lock_v68(struct lock_record *record, struct list_head *node)
{
	struct file_lock___v68 *lock = (void *)node - bpf_core_field_offset(struct file_lock___v68, fl_list);

	record->owner = (__u64)BPF_CORE_READ(lock, fl_owner);
	record->flags = BPF_CORE_READ(lock, fl_flags);
	record->type = BPF_CORE_READ(lock, fl_type);
	record->pid = BPF_CORE_READ(lock, fl_pid);
	record->start = BPF_CORE_READ(lock, fl_start);
	record->end = BPF_CORE_READ(lock, fl_end);
}

static __always_inline struct file *file_of_lock(struct list_head *node)
{
	struct file_lock *lock = (void *)node - bpf_core_field_offset(struct file_lock_core, flc_list);

	return BPF_CORE_READ(lock, c.flc_file);
}

static __always_inline struct file *file_of_lock_v68(struct list_head *node)
{
	struct file_lock___v68 *lock = (void *)node - bpf_core_field_offset(struct file_lock___v68, fl_list);

	return BPF_CORE_READ(lock, fl_file);
}

/* An inode's lists hold the locks of all its files; each belongs to the file that it was taken through. */
static long lock_step(__u32 index, struct lock_walk *walk)
{
	int split = bpf_core_type_exists(struct file_lock_core);
	struct list_head *node = walk->node;
	struct lock_record *record;
	struct file *file;

	if (!node || node == walk->head || goes_round((__u64)node, index))
		return 1;
	walk->node = BPF_CORE_READ(node, next);
	file = split ? file_of_lock(node) : file_of_lock_v68(node);
	if ((__u64)file != walk->record->file)
		return 0;
	walk->record->locks++;
	record = NEXT_RECORD(locks);
	if (!record)
		return 0;
	record->file = (__u64)file;
	record->kind = walk->kind;
	if (split)
		describe_lock(record, node);
	else
		describe_lock_v68(record, node);
	return 0;
}

static __always_inline void walk_locks(struct file_record *record, struct list_head *head, __u32 kind)
{
	struct lock_walk walk = {.head = head, .record = record, .kind = kind};

	walk.node = BPF_CORE_READ(head, next);
	if (walk.node == head)
		return;
	if (bpf_loop(MAX_LOCKS, lock_step, &walk, 0) == MAX_LOCKS || went_round())
		record->path_flags |= FILE_LISTS_CUT;
}

static __noinline int describe_locks(struct file_record *record, struct file_lock_context *context)
{
	if (!record || !context)
		return 0;
	walk_locks(record, &context->flc_posix, LOCK_POSIX);
	walk_locks(record, &context->flc_flock, LOCK_FLOCK);
	walk_locks(record, &context->flc_lease, LOCK_LEASE);
	return 0;
}
