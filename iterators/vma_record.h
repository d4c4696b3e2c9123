/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bpf/vma.bpf.c tells about an address space (struct mm_struct) and its VMAs (struct vm_area_struct).
 * Kernel addresses in here are identities only: equal means the same object.
 */
#pragma once

#include "iterators/record.h"

/* TASK_COMM-like limits of the kernel: ANON_VMA_NAME_MAX_LEN is 80 with its NUL (include/linux/mm.h). */
#define VMA_NAME_SIZE 80
/* AT_VECTOR_SIZE on x86-64 is at most 2 * (20 + 6 + 1) + 2 (include/linux/auxvec.h); 56 seen on 6.18. */
#define MM_AUXV_WORDS 64

/* Of an address space, what a dump refuses. */
enum mm_oddity {
	MM_LDT = 1 << 0,            /* modify_ldt(2) */
	MM_TAGGED_ADDRESS = 1 << 1, /* ARCH_ENABLE_TAGGED_ADDR */
	MM_IA32 = 1 << 2,           /* execve(2) of a 32-bit program made it */
};

/* One per iterator pass that saw a VMA. */
struct mm_record {
	__u64 mm; /* struct mm_struct */
	__u64 start_code, end_code;
	__u64 start_data, end_data;
	__u64 start_brk, brk;
	__u64 start_stack;
	__u64 arg_start, arg_end;
	__u64 env_start, env_end;
	__u64 def_flags; /* VM_* that new VMAs get: mlockall(MCL_FUTURE), PR_SET_THP_DISABLE before 6.18 */
	__u64 flags;     /* mm->flags, the first word: MMF_* */
	__u64 exe_file;  /* struct file */
	__u64 total_vm;  /* pages */
	__u64 locked_vm; /* pages */
	__u32 map_count;
	__u32 auxv;             /* number of a mm_auxv_record, from 1; 0: none */
	__u32 membarrier;       /* MEMBARRIER_STATE_* */
	__u32 futex_slots;      /* of the private hash, if the program chose them */
	__u32 oddities;         /* enum mm_oddity */
	__u16 keys;             /* bit n: protection key n is taken; key 0 always where there are any */
	__s16 execute_only_key; /* that the kernel took for mappings that are executable only; 0 or -1: none */
};
RECORD_LAYOUT(mm_record, 17 * 8 + 24, auxv, 17 * 8 + 4);

struct mm_auxv_record {
	__u64 words[MM_AUXV_WORDS];
	__u32 count; /* valid ones */
	__u32 reserved;
};
RECORD_LAYOUT(mm_auxv_record, 520, count, 512);

struct vma_record {
	__u64 start, end;
	__u64 flags;    /* vm_flags, VM_* */
	__u64 pgoff;    /* pages */
	__u64 ops;      /* struct vm_operations_struct; 0: anonymous */
	__u64 anon_vma; /* struct anon_vma; 0: no private page was ever made */
	__u64 policy;   /* struct mempolicy; 0: that of the task */
	__u64 uffd;     /* struct userfaultfd_ctx */
	__u64 private_data;
	__u64 file;  /* struct file; 0: none */
	__u64 f_op;  /* struct file_operations */
	__u64 inode; /* struct inode: the object that is mapped (f_mapping->host) */
	__u64 ino;
	__u64 size;       /* i_size */
	__u32 device;     /* s_dev as the kernel encodes it: major << 20 | minor */
	__u32 links;      /* i_nlink */
	__u32 file_mode;  /* f_mode, FMODE_* */
	__u32 inode_mode; /* i_mode */
	__u32 space;      /* index of the mm_record */
	__u32 name;       /* number of a vma_name_record, from 1; 0: none */
};
RECORD_LAYOUT(vma_record, 14 * 8 + 6 * 4, name, 14 * 8 + 5 * 4);

/* Of a special mapping, an anonymous name, or the last path component of a nameless file. Few have one. */
struct vma_name_record {
	char name[VMA_NAME_SIZE];
};
RECORD_LAYOUT(vma_name_record, VMA_NAME_SIZE, name, 0);
