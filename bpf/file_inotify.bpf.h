/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The marks of an inotify instance (fs/notify/inotify/inotify.h) and where their inodes are. */
#pragma once

#include "bpf/circle.bpf.h"
#include "bpf/file_path.bpf.h"
#include "vmlinux/anon_files.h"

#define MAX_MARKS (1 << 20)

RECORD_MAP(inotify_marks, inotify_mark_record);

struct inotify_walk {
	struct list_head *node;
	struct list_head *head;
	struct file_record *record;
};

/* obj is the inode itself since v6.10, its i_fsnotify_marks before; an inode's i_fsnotify_marks points back here. */
static __always_inline struct inode *marked_inode(struct fsnotify_mark_connector *connector)
{
	struct inode *inode = BPF_CORE_READ(connector, obj);

	if (BPF_CORE_READ(inode, i_fsnotify_marks) == connector)
		return inode;
	return (void *)inode - bpf_core_field_offset(struct inode, i_fsnotify_marks);
}

static __always_inline struct dentry *any_dentry(struct inode *inode)
{
	struct hlist_node *alias = BPF_CORE_READ(inode, i_dentry.first);

	if (!alias)
		return NULL;
	if (bpf_core_field_exists(struct dentry___flat, d_alias))
		return (void *)alias - bpf_core_field_offset(struct dentry___flat, d_alias);
	return (void *)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

static long inotify_step(__u32 index, struct inotify_walk *walk)
{
	struct inotify_inode_mark *mark = (void *)walk->node -
					  bpf_core_field_offset(struct inotify_inode_mark, fsn_mark) -
					  bpf_core_field_offset(struct fsnotify_mark, g_list);
	struct list_head *node = walk->node;
	struct inotify_mark_record *record;
	struct path_walk path = {};
	struct dentry *dentry;
	struct inode *inode;

	if (!node || node == walk->head || goes_round((__u64)node, index))
		return 1;
	walk->record->inotify.watches++;
	walk->node = BPF_CORE_READ(node, next);
	record = NEXT_RECORD(inotify_marks);
	if (!record)
		return 0;
	inode = marked_inode(BPF_CORE_READ(mark, fsn_mark.connector));
	record->file = walk->record->file;
	record->inode = (__u64)inode;
	record->ino = BPF_CORE_READ(inode, i_ino);
	record->s_dev = BPF_CORE_READ(inode, i_sb, s_dev);
	record->wd = BPF_CORE_READ(mark, wd);
	record->mask = BPF_CORE_READ(mark, fsn_mark.mask);
	record->flags = BPF_CORE_READ(mark, fsn_mark.flags);
	record->names = names_count;
	dentry = any_dentry(inode);
	path.dentry = dentry;
	path.root = BPF_CORE_READ(inode, i_sb, s_root);
	if (dentry && !BPF_CORE_READ(dentry, d_hash.pprev) && dentry != path.root)
		path.flags |= FILE_PATH_UNLINKED;
	if (dentry)
		bpf_loop(MAX_COMPONENTS, path_step, &path, 0);
	else
		path.flags |= FILE_PATH_DETACHED;
	record->name_count = path.count;
	record->path_flags = path.flags;
	return 0;
}

/* Each group has one event that tells of lost ones (fs/notify/notification.c: fsnotify_insert_event()). */
static __always_inline int has_only_overflow(struct fsnotify_group *group)
{
	struct fsnotify_event *overflow = BPF_CORE_READ(group, overflow_event);

	return BPF_CORE_READ(group, q_len) == 1 && BPF_CORE_READ(group, notification_list.next) == &overflow->list;
}

static __noinline int describe_inotify(struct file_record *record)
{
	struct inotify_walk walk = {.record = record};
	struct fsnotify_group *group;

	if (!record)
		return 0;
	group = (void *)record->private_data;
	record->inotify.queued = BPF_CORE_READ(group, q_len);
	record->inotify.next_wd = BPF_CORE_READ(group, inotify_data.idr.idr_next);
	record->inotify.only_overflow = record->inotify.queued && has_only_overflow(group);
	walk.head = &group->marks_list;
	record->inotify.watches = 0;
	walk.node = BPF_CORE_READ(group, marks_list.next);
	if (walk.node == walk.head)
		return 0;
	if (bpf_loop(MAX_MARKS, inotify_step, &walk, 0) == MAX_MARKS || went_round())
		record->path_flags |= FILE_LISTS_CUT;
	return 0;
}
