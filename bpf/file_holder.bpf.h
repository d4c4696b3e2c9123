/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who in the whole system holds one of a set of objects: the other side of what a tree shares. */
#pragma once

#include "bpf/file_learn.bpf.h"
#include "bpf/records.bpf.h"
#include "vmlinux/socket.h"

RECORD_MAP(holders, holder_record);

/* Processes whose own holding is noted in the object, and is no record: bit n % 64 of word n / 64 is PID n. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} inside_pids SEC(".maps");

/* The objects whose holders are looked for; 1 once one of the processes inside was found to hold it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} wanted_objects SEC(".maps");

static __always_inline void put_holder(__u64 object, struct task_struct *task, __u32 fd)
{
	struct holder_record *record;
	__u32 *held_inside, pid, word;
	__u64 *inside;

	if (!object)
		return;
	held_inside = bpf_map_lookup_elem(&wanted_objects, &object);
	if (!held_inside)
		return;
	pid = pid_nr(BPF_CORE_READ(task, group_leader, thread_pid));
	word = pid / 64;
	inside = bpf_map_lookup_elem(&inside_pids, &word);
	if (inside && *inside >> pid % 64 & 1) {
		*held_inside = 1;
		return;
	}
	record = NEXT_RECORD(holders);
	if (!record)
		return;
	record->object = object;
	record->pid = pid;
	record->fd = fd;
	bpf_probe_read_kernel(record->comm, sizeof(record->comm), task->comm);
}

SEC("iter/task_file")
int find_file_holders(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file)
		return 0;
	put_holder((__u64)file, task, ctx->fd);
	put_holder((__u64)BPF_CORE_READ(file, f_inode), task, ctx->fd);
	if ((__u64)BPF_CORE_READ(file, f_op) == kind_f_op[FILE_KIND_SOCKET]) {
		struct socket *socket = BPF_CORE_READ(file, private_data);

		put_holder((__u64)BPF_CORE_READ(socket, sk), task, ctx->fd);
	}
	return 0;
}

/* Only memory objects are looked for by mapping. */
SEC("iter/task_vma")
int find_mapping_holders(struct bpf_iter__task_vma___file *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct___file *vma = ctx->vma;

	if (!task || !vma || !vma->vm_file)
		return 0;
	put_holder((__u64)BPF_CORE_READ(vma, vm_file, f_inode), task, HOLDER_TASK);
	return 0;
}

SEC("iter/task")
int find_task_holders(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	__u64 mm, files, fs;

	if (!task)
		return 0;
	mm = (__u64)BPF_CORE_READ(task, mm);
	files = (__u64)BPF_CORE_READ(task, files);
	fs = (__u64)BPF_CORE_READ(task, fs);
	/* A thread counts only where it does not share with its process. */
	leader = BPF_CORE_READ(task, group_leader);
	if (task == leader || mm != (__u64)BPF_CORE_READ(leader, mm))
		put_holder(mm, task, HOLDER_TASK);
	if (task == leader || files != (__u64)BPF_CORE_READ(leader, files))
		put_holder(files, task, HOLDER_TASK);
	if (task == leader || fs != (__u64)BPF_CORE_READ(leader, fs))
		put_holder(fs, task, HOLDER_TASK);
	return 0;
}
