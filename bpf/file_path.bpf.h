/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names of files: dentries from the leaf upwards, across mounts (fs/d_path.c walks the same way). bpf_d_path() takes
 * the file of an iterator only; this serves struct files that no fd names, too.
 */
#pragma once

#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/fs.h"

#define NAME_MAX_SIZE  256
#define MAX_COMPONENTS 1024
#define NSFS_MAGIC     0x6e736673
#define SB_KERNMOUNT   (1 << 22)

/* names_size bytes (a power of two) and room for one name more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 4096 + NAME_MAX_SIZE);
} names SEC(".maps");
const volatile __u64 names_size = 4096;
__u64 names_count; /* bytes */

/* Appends one name; false if there was none. */
static __always_inline char *put_name(const unsigned char *name)
{
	__u32 zero = 0;
	char *base = bpf_map_lookup_elem(&names, &zero);
	__u64 offset = names_count;
	long length;

	if (!base || offset >= names_size) {
		names_count += 64; /* an estimate of what would be needed */
		return NULL;
	}
	base += offset & (names_size - 1);
	length = bpf_probe_read_kernel_str(base, NAME_MAX_SIZE, name);
	if (length <= 0)
		return NULL;
	names_count += length;
	return base;
}

struct path_walk {
	struct dentry *dentry;
	struct dentry *root;
	struct mount *mount; /* NULL: stay within the file system */
	__u32 count;
	__u32 flags;
};

static long path_step(__u32 index, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct dentry *parent;

	if (dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct mount *above;

		if (!mount)
			return 1;
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount) {
			if (!BPF_CORE_READ(mount, mnt_ns))
				walk->flags |= FILE_PATH_DETACHED;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->root = BPF_CORE_READ(above, mnt.mnt_root);
		walk->mount = above;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry) {
		walk->flags |= FILE_PATH_DETACHED;
		return 1;
	}
	if (index == MAX_COMPONENTS - 1)
		walk->flags |= FILE_PATH_TRUNCATED;
	put_name(BPF_CORE_READ(dentry, d_name.name));
	walk->count++;
	walk->dentry = parent;
	return 0;
}

static __always_inline int is_error(const void *pointer)
{
	return (unsigned long)pointer >= (unsigned long)-4095;
}

/* MNT_NS_INTERNAL (fs/mount.h). Those of hugetlbfs and mqueue have no namespace at all before v6.17,
 * fc_mount_longterm(). */
static __always_inline int is_internal(struct mount *mount)
{
	void *ns = BPF_CORE_READ(mount, mnt_ns);

	return is_error(ns) || (!ns && BPF_CORE_READ(mount, mnt.mnt_sb, s_flags) & SB_KERNMOUNT);
}

/* What is mapped of a stacked file system (overlayfs) is a file below it, of a mount that nobody else has
 * (clone_private_mount()); the program knows the other one (fs/file_table.c: backing_file_user_path()). FMODE_BACKING
 * is one of two bits, before and since v6.14, and the second means something else now. */
#define FMODE_BACKING (3 << 24)

static __always_inline _Bool is_backing(const struct file *copy)
{
	struct mount *mount = (void *)copy->f_path.mnt - bpf_core_field_offset(struct mount, mnt);

	return copy->f_mode & FMODE_BACKING && bpf_core_field_exists(struct backing_file, user_path) &&
	       is_error(BPF_CORE_READ(mount, mnt_ns)) && !(BPF_CORE_READ(mount, mnt.mnt_sb, s_flags) & SB_KERNMOUNT);
}

/* A file of a kernel-internal mount has one name, if any; that of a namespace is its type. */
static __always_inline void describe_pseudo(struct file_record *record, struct dentry *dentry, struct inode *inode)
{
	const unsigned char *name;
	char *text;

	if (record->s_magic == NSFS_MAGIC) {
		struct ns_common___ops *ns = inode->i_private;

		name = (const unsigned char *)BPF_CORE_READ(ns, ops, name);
	} else {
		name = BPF_CORE_READ(dentry, d_name.name);
	}
	text = put_name(name);
	record->path_flags = FILE_PATH_PSEUDO;
	record->name_count = text ? 1 : 0;
	if (text && text[0] == 'm' && text[1] == 'e' && text[2] == 'm' && text[3] == 'f' && text[4] == 'd' &&
	    text[5] == ':')
		record->path_flags |= FILE_PATH_MEMFD;
}

static __noinline int describe_path(struct file_record *record, struct path *path, struct inode *inode)
{
	struct path_walk walk = {};
	struct dentry *dentry;
	struct mount *mount;

	if (!record || !path || !inode)
		return 0;
	dentry = path->dentry;
	mount = (void *)path->mnt - bpf_core_field_offset(struct mount, mnt);
	record->mount_id = BPF_CORE_READ(mount, mnt_id);
	record->names = names_count;
	if (is_internal(mount)) {
		describe_pseudo(record, dentry, inode);
		return 0;
	}
	record->mount_namespace = BPF_CORE_READ(mount, mnt_ns, ns.inum);
	walk.dentry = dentry;
	walk.mount = mount;
	walk.root = BPF_CORE_READ(mount, mnt.mnt_root);
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && dentry != walk.root)
		walk.flags |= FILE_PATH_UNLINKED;
	bpf_loop(MAX_COMPONENTS, path_step, &walk, 0);
	record->name_count = walk.count;
	record->path_flags = walk.flags;
	return 0;
}
