/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address spaces as a whole (include/linux/mm_types.h); their VMAs are in vmlinux/vma.h. */
#pragma once

#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file;

typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;

struct ldt_struct;

/* v6.16: the private futex hash. */
struct futex_private_hash {
	unsigned int hash_mask;
	_Bool custom; /* PR_FUTEX_HASH_SET_SLOTS */
};

typedef struct {
	struct ldt_struct *ldt;             /* MODIFY_LDT_SYSCALL */
	unsigned long flags;                /* MM_CONTEXT_*; unsigned short up to v6.3 */
	unsigned long lam_cr3_mask;         /* ADDRESS_MASKING, v6.4 */
	unsigned short pkey_allocation_map; /* X86_INTEL_MEMORY_PROTECTION_KEYS */
	short execute_only_pkey;
} mm_context_t;

struct mm_struct {
	atomic_t membarrier_state; /* MEMBARRIER */
	struct futex_private_hash *futex_phash;
	mm_context_t context;
	atomic_t mm_users;
	int map_count;
	unsigned long mmap_base;
	unsigned long task_size;
	unsigned long locked_vm;
	unsigned long def_flags;
	unsigned long start_code;
	unsigned long end_code;
	unsigned long start_data;
	unsigned long end_data;
	unsigned long start_brk;
	unsigned long brk;
	unsigned long start_stack;
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_start;
	unsigned long env_end;
	unsigned long saved_auxv[56];
	mm_flags_t flags;
	struct file *exe_file;
};

/* v7.2 (BTF of Debian's 7.2.13) */
struct futex_mm_phash {
	struct futex_private_hash *hash;
};

struct futex_mm_data {
	struct futex_mm_phash phash;
};

struct mm_struct___v72 {
	struct futex_mm_data futex;
};

/* Up to v6.17: a plain word. */
struct mm_struct___v617 {
	unsigned long flags;
};

#pragma clang attribute pop
