/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Open files, their inodes, dentries and mounts (include/linux/fs.h, fdtable.h, dcache.h, filelock.h, fs/mount.h). */
#pragma once

#include "vmlinux/sched.h"

#define FMODE_READ  0x1
#define FMODE_WRITE 0x2
#define FMODE_PATH  0x4000
#define S_IFMT      0170000
#define S_IFSOCK    0140000
#define S_IFREG     0100000
#define S_IFIFO     0010000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file_operations;
struct mount;

struct fown_struct {
	struct pid *pid;
	enum pid_type pid_type;
	kuid_t uid;
	kuid_t euid;
	int signum;
};

typedef struct {
	atomic64_t refcnt;
} file_ref_t;

struct file {
	unsigned int f_mode;
	const struct file_operations *f_op;
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
	const struct cred *f_cred;
	struct fown_struct *f_owner;
	struct path f_path;
	__s64 f_pos;
	file_ref_t f_ref; /* counts from 0: v6.13, 90ee6ed776c0 */
	__u64 f_pipe;     /* v6.12 */
};

/* Behind `file`; a user_path since v6.7, def3ae83da02: before, f_path is that. */
struct backing_file {
	struct path user_path;
};

/* Up to v6.12. */
struct file___v612 {
	atomic_long_t f_count;
};

/* Up to v6.11: embedded (1934b212615d made it a pointer in v6.12). */
struct file___v611 {
	struct fown_struct f_owner;
	__u64 f_version; /* of pipes: f_pipe */
};

struct file_system_type {
	const char *name;
};

struct super_block {
	unsigned int s_dev;
	unsigned long s_flags;
	struct file_system_type *s_type;
	unsigned long s_magic;
	struct dentry *s_root;
};

struct file_lock_context {
	struct list_head flc_flock;
	struct list_head flc_posix;
	struct list_head flc_lease;
};

struct file_lock_core {
	struct list_head flc_list;
	void *flc_owner;
	unsigned int flc_flags;
	unsigned char flc_type;
	int flc_pid;
	struct file *flc_file;
};

struct file_lock {
	struct file_lock_core c;
	__s64 fl_start;
	__s64 fl_end;
};

/* Up to v6.8: no core, leases are file_locks (a69ce85ec9af split it in v6.9). */
struct file_lock___v68 {
	struct list_head fl_list;
	void *fl_owner;
	unsigned int fl_flags;
	unsigned char fl_type;
	unsigned int fl_pid;
	struct file *fl_file;
	__s64 fl_start;
	__s64 fl_end;
};

struct inode {
	unsigned short i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	unsigned int i_rdev;
	__s64 i_size;
	__u64 i_blocks;
	__s64 i_mtime_sec; /* v6.11, 3aa63a569c64 */
	__u32 i_mtime_nsec;
	struct hlist_head i_dentry;
	unsigned int i_state; /* unsigned long up to v6.10 */
	struct file_lock_context *i_flctx;
	struct pipe_inode_info *i_pipe;
	void *i_fsnotify_marks;
	void *i_private;
};

/* v6.18; before, I_LINKABLE was a macro, 1 << 10 (v3.11 to v6.17). */
enum inode_state_flags_t {
	I_LINKABLE = 1 << 11,
};

struct inode___v618 {
	enum inode_state_flags_t i_state;
};

/* v6.19 and later. */
enum inode_state_flags_enum {
	I_LINKABLE___v619 = 1 << 11,
};

struct inode_state_flags {
	enum inode_state_flags_enum __state;
};

struct inode___v619 {
	struct inode_state_flags i_state;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

/* v6.7 (12cd44023651) to v6.10. */
struct inode___v610 {
	struct timespec64 __i_mtime;
};

/* Up to v6.6. */
struct inode___v66 {
	struct timespec64 i_mtime;
};

struct qstr {
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node *next;
	struct hlist_bl_node **pprev;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* In case that d_alias leaves its union. */
struct dentry___flat {
	struct hlist_node d_alias;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	int mnt_id;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *close_on_exec;
};

struct files_struct {
	struct fdtable *fdt;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct vm_area_struct___file {
	struct file *vm_file;
};

struct bpf_iter__task_vma___file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct___file *vma;
};

struct shmem_inode_info {
	unsigned int seals;
	struct inode vfs_inode;
};

struct hugetlbfs_inode_info {
	struct inode vfs_inode;
	unsigned int seals;
};

struct proc_ns_operations {
	const char *name;
};

struct ns_common___ops {
	const struct proc_ns_operations *ops;
};

#pragma clang attribute pop
