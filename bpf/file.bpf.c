// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * fd tables (struct files_struct) and open file descriptions (struct file).
 *
 * list_fds names the struct file behind each fd of a process. describe_files then reads any list of struct files, so
 * that those which only an io_uring slot, a mapping or an epoll item holds are read by the same code. Walks without
 * locks: what runs meanwhile may give stale answers, never a fault. Objects that every file has are copied whole and
 * then read with relocated loads: one helper call in place of twenty.
 */
#include "bpf/cred_ids.bpf.h"
#include "bpf/file_epoll.bpf.h"
#include "bpf/file_holder.bpf.h"
#include "bpf/file_inotify.bpf.h"
#include "bpf/file_kinds.bpf.h"
#include "bpf/file_learn.bpf.h"
#include "bpf/file_lock.bpf.h"
#include "bpf/file_path.bpf.h"
#include "bpf/file_pipe.bpf.h"
#include "bpf/file_socket.bpf.h"
#include "bpf/pidns.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/fs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

RECORD_MAP(fds, fd_record);
RECORD_MAP(files, file_record);
RECORD_MAP(openers, opener_record);

/* The struct files to describe. */
INPUT_MAP(wanted_files);

/* Copies of the object at hand. */
__u64 file_copy[64];
__u64 inode_copy[192];
__u64 inode_copied;
__u64 sb_magic;
__u32 sb_dev;
char sb_type[16];

/* --- fd tables --- */

__u64 last_task;
__u32 last_pid;
__u32 last_tid;

SEC("iter/task_file")
int list_fds(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct fd_record *record;
	unsigned long cloexec = 0;
	struct fdtable *fdt;
	__u32 fd = ctx->fd;

	if (!task || !file)
		return 0;
	record = NEXT_RECORD(fds);
	if (!record)
		return 0;
	if ((__u64)task != last_task) {
		last_task = (__u64)task;
		last_tid = pid_nr(BPF_CORE_READ(task, thread_pid));
		last_pid = pid_nr(BPF_CORE_READ(task, group_leader, thread_pid));
	}
	fdt = BPF_CORE_READ(task, files, fdt);
	bpf_probe_read_kernel(&cloexec, sizeof(cloexec), BPF_CORE_READ(fdt, close_on_exec) + fd / 64);
	record->file = (__u64)file;
	record->files = (__u64)task->files;
	record->pid = last_pid;
	record->tid = last_tid;
	record->fd = fd;
	record->cloexec = (cloexec >> (fd % 64)) & 1;
	return 0;
}

/* --- struct file --- */

/* Of the last file, as there are many of a kind. */
__u64 last_f_op;
__u32 last_kind;

/* Global, so that the verifier does not follow each kind through all that comes after. */
__noinline __u32 kind_by_f_op(__u64 f_op)
{
	__u32 kind;

	if (f_op == last_f_op)
		return last_kind;
	last_f_op = f_op;
	last_kind = FILE_KIND_UNKNOWN;
	for (kind = FILE_KIND_PIPE; kind < FILE_KIND_COUNT; kind++) {
		if (f_op == kind_f_op[kind]) {
			last_kind = kind;
			break;
		}
	}
	return last_kind;
}

static __always_inline __u64 file_references(struct file *copy)
{
	struct file___v612 *older = (void *)copy;

	if (bpf_core_field_exists(copy->f_ref))
		return copy->f_ref.refcnt.counter + 1;
	return older->f_count.counter;
}

static __always_inline void describe_owner(struct file_record *record, struct fown_struct *owner)
{
	struct pid *pid = BPF_CORE_READ(owner, pid);

	record->owner_signal = BPF_CORE_READ(owner, signum);
	if (!pid && !record->owner_signal)
		return;
	record->owned = 1;
	record->owner_pid = pid_nr(pid);
	record->owner_type = BPF_CORE_READ(owner, pid_type);
	record->owner_uid = BPF_CORE_READ(owner, uid.val);
	record->owner_euid = BPF_CORE_READ(owner, euid.val);
}

static __always_inline __s64 inode_mtime(struct inode *inode)
{
	struct inode___v610 *v610 = (void *)inode;
	struct inode___v66 *v66 = (void *)inode;

	if (bpf_core_field_exists(inode->i_mtime_sec))
		return inode->i_mtime_sec * 1000000000LL + inode->i_mtime_nsec;
	if (bpf_core_field_exists(v610->__i_mtime))
		return v610->__i_mtime.tv_sec * 1000000000LL + v610->__i_mtime.tv_nsec;
	return v66->i_mtime.tv_sec * 1000000000LL + v66->i_mtime.tv_nsec;
}

static __always_inline __u32 state_at(const struct inode *copy, __u32 offset)
{
	return *(const __u32 *)((const void *)copy + offset);
}

/* By O_TMPFILE without O_EXCL, until it has had a name (fs/namei.c: vfs_tmpfile(), vfs_link()). */
static __always_inline __u32 is_linkable(const struct inode *copy)
{
	const struct inode___v618 *v618 = (const void *)copy;
	const struct inode___v619 *v619 = (const void *)copy;

	if (bpf_core_field_exists(v619->i_state.__state))
		return state_at(copy, bpf_core_field_offset(v619->i_state)) &
		       bpf_core_enum_value(enum inode_state_flags_enum, I_LINKABLE___v619);
	if (bpf_core_field_exists(v618->i_state))
		return state_at(copy, bpf_core_field_offset(v618->i_state)) &
		       bpf_core_enum_value(enum inode_state_flags_t, I_LINKABLE);
	return copy->i_state & 1 << 10;
}

static __always_inline void describe_inode(struct file_record *record, struct inode *inode)
{
	record->size = inode->i_size;
	record->blocks = inode->i_blocks;
	record->ino = inode->i_ino;
	record->mtime_ns = inode_mtime(inode);
	record->i_mode = inode->i_mode;
	record->i_uid = inode->i_uid.val;
	record->i_gid = inode->i_gid.val;
	record->nlink = inode->i_nlink;
	record->rdev = inode->i_rdev;
	record->s_magic = sb_magic;
	record->s_dev = sb_dev;
	__builtin_memcpy(record->filesystem, sb_type, sizeof(sb_type));
}

static __always_inline void describe_detail(struct file_record *record)
{
	switch (record->kind) {
	case FILE_KIND_EVENTFD:
		describe_eventfd(record);
		break;
	case FILE_KIND_TIMERFD:
		describe_timerfd(record);
		break;
	case FILE_KIND_SIGNALFD:
		describe_signalfd(record);
		break;
	case FILE_KIND_EPOLL:
		describe_epoll(record);
		break;
	case FILE_KIND_INOTIFY:
		describe_inotify(record);
		break;
	case FILE_KIND_PIPE:
		describe_pipe(record);
		break;
	case FILE_KIND_SOCKET:
		describe_socket(record);
		break;
	case FILE_KIND_PIDFD:
		describe_pidfd(record, (const struct inode *)inode_copy);
		break;
	case FILE_KIND_UNKNOWN:
		if (record->path_flags & FILE_PATH_MEMFD)
			describe_memfd(record);
		break;
	}
}

/* The inode of anonymous files is one for the whole system: it is copied once for all of them. */
static __always_inline struct inode *copy_inode(struct inode *inode)
{
	struct inode *copy = (struct inode *)inode_copy;
	struct super_block *sb;

	if ((__u64)inode == inode_copied)
		return copy;
	bpf_probe_read_kernel(inode_copy, bpf_core_type_size(struct inode), inode);
	inode_copied = (__u64)inode;
	sb = copy->i_sb;
	sb_magic = BPF_CORE_READ(sb, s_magic);
	sb_dev = BPF_CORE_READ(sb, s_dev);
	bpf_probe_read_kernel_str(sb_type, sizeof(sb_type), BPF_CORE_READ(sb, s_type, name));
	return copy;
}

#define PROC_SUPER_MAGIC    0x9fa0 /* include/uapi/linux/magic.h */
#define SYSFS_MAGIC         0x62656572
#define CGROUP_SUPER_MAGIC  0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270
#define DEBUGFS_MAGIC       0x64626720
#define TRACEFS_MAGIC       0x74726163
#define SECURITYFS_MAGIC    0x73636673
#define CONFIGFS_MAGIC      0x62656570 /* fs/configfs/mount.c */

/* Of which a regular file may allow more or less for it. */
static __always_inline _Bool asks_who_opened(const struct file_record *record)
{
	switch (record->s_magic) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case CONFIGFS_MAGIC:
		return (record->i_mode & S_IFMT) == S_IFREG && !(record->f_mode & FMODE_PATH);
	default:
		return 0;
	}
}

static __always_inline void describe_opener(const struct file_record *file, const struct cred *cred)
{
	struct opener_record *record = NEXT_RECORD(openers);

	if (!record)
		return;
	record->file = file->file;
	read_cred_ids(&record->credentials, cred);
	record->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	record->reserved = 0;
}

static long describe_one(__u32 index, void *unused)
{
	__u64 address = INPUT(wanted_files, index);
	struct file *copy = (void *)file_copy;
	struct file_record *record;
	struct inode *inode;
	struct path path;

	if (!address)
		return 1;
	record = NEXT_RECORD(files);
	if (!record)
		return 0;
	bpf_probe_read_kernel(file_copy, bpf_core_type_size(struct file), (void *)address);
	__builtin_memset(record, 0, sizeof(*record));
	record->file = address;
	record->f_op = (__u64)copy->f_op;
	record->private_data = (__u64)copy->private_data;
	record->inode = (__u64)copy->f_inode;
	record->position = copy->f_pos;
	record->f_flags = copy->f_flags;
	record->f_mode = copy->f_mode;
	record->count = file_references(copy);
	record->kind = kind_by_f_op(record->f_op);
	path.dentry = copy->f_path.dentry;
	path.mnt = copy->f_path.mnt;
	if (record->kind == FILE_KIND_UNKNOWN && is_backing(copy)) {
		BPF_CORE_READ_INTO(&path, (struct backing_file *)address, user_path);
		record->inode = (__u64)BPF_CORE_READ(path.dentry, d_inode);
	}
	inode = copy_inode((struct inode *)record->inode);
	describe_inode(record, inode);
	/* A FIFO has other file_operations than a pipe since v6.15 (fs/pipe.c: pipeanon_fops). */
	if ((inode->i_mode & S_IFMT) == S_IFIFO && !(record->f_mode & FMODE_PATH))
		record->kind = FILE_KIND_PIPE;
	if (bpf_core_field_exists(copy->f_owner)) { /* as a pointer: a struct would not match */
		if (copy->f_owner)
			describe_owner(record, copy->f_owner);
	} else {
		struct file___v611 *older = (void *)address;

		describe_owner(record, &older->f_owner);
	}
	if (record->kind == FILE_KIND_UNKNOWN || record->kind == FILE_KIND_PIPE) {
		describe_path(record, &path, inode);
		if (is_linkable(inode))
			record->path_flags |= FILE_PATH_LINKABLE;
		if (inode->i_flctx)
			describe_locks(record, inode->i_flctx);
		if (asks_who_opened(record))
			describe_opener(record, copy->f_cred);
	}
	describe_detail(record);
	return 0;
}

SEC("syscall")
int describe_files(void *ctx)
{
	inode_copied = 0;
	last_f_op = 0;
	last_kind = FILE_KIND_UNKNOWN;
	bpf_loop(wanted_files_count, describe_one, NULL, 0);
	return 0;
}

/* --- learning --- */

SEC("syscall")
int learn_kinds(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **table = BPF_CORE_READ(task, files, fdt, fd);
	struct own_pidns own = own_pidns();
	__u32 kind;

	own_pid_namespace = own.ns;
	own_pid_level = own.level;
	for (kind = FILE_KIND_PIPE; kind < FILE_KIND_COUNT; kind++) {
		struct file *file = NULL;
		__s32 fd = kind_fd[kind];

		if (fd < 0)
			continue;
		bpf_probe_read_kernel(&file, sizeof(file), table + fd);
		kind_f_op[kind] = (__u64)BPF_CORE_READ(file, f_op);
		if (kind == FILE_KIND_SOCKET) {
			struct socket *socket = BPF_CORE_READ(file, private_data);

			learned_receive_timeo = BPF_CORE_READ(socket, sk, sk_rcvtimeo);
		}
	}
	return 0;
}
