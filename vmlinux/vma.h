/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Mappings (struct vm_area_struct: include/linux/mm_types.h) and what is read of the file behind one. */
#pragma once

#include "vmlinux/mm_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct anon_vma;
struct mempolicy;
struct task_struct;
struct userfaultfd_ctx;
struct vm_operations_struct;
struct file_operations;

struct super_block___vma {
	unsigned int s_dev;
};

struct inode___vma {
	__u16 i_mode;
	struct super_block___vma *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	long long i_size;
};

struct qstr___vma {
	const unsigned char *name;
};

struct dentry___vma {
	struct qstr___vma d_name;
};

struct path___vma {
	struct dentry___vma *dentry;
};

struct file___vma {
	unsigned int f_mode;
	const struct file_operations *f_op;
	struct inode___vma *f_inode;
	struct path___vma f_path;
};

/* Empty without CONFIG_USERFAULTFD. */
struct vm_userfaultfd_ctx {
	struct userfaultfd_ctx *ctx;
};

/* include/linux/mm_types.h; only with CONFIG_ANON_VMA_NAME. */
struct anon_vma_name {
	char name[0];
};

/* vm_private_data of the vDSO's mappings. */
struct vm_special_mapping {
	const char *name;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	struct anon_vma *anon_vma;
	const struct vm_operations_struct *vm_ops;
	unsigned long vm_pgoff;
	struct file___vma *vm_file;
	void *vm_private_data;
	struct anon_vma_name *anon_name;
	struct mempolicy *vm_policy;
	struct vm_userfaultfd_ctx vm_userfaultfd_ctx;
};

struct mm_struct___vma {
	unsigned long total_vm;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute pop
