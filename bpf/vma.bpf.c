// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Address spaces: one mm_record for each pass of the iterator, one vma_record for each VMA.
 *
 * The iterator holds the mmap_lock for reading while the program runs (kernel/bpf/task_iter.c:
 * task_vma_seq_get_next()), and lets go of it between VMAs of a running task: only a stopped task gives a consistent
 * list.
 */
#include "vmlinux/vma.h"

#include "bpf/records.bpf.h"
#include <bpf/bpf_tracing.h>

#include "iterators/vma_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MM_CONTEXT_UPROBE_IA32 1 /* BIT() of it: arch/x86/include/asm/mmu.h */

RECORD_MAP(vma_map, vma_record);
RECORD_MAP(mm_map, mm_record);
RECORD_MAP(vma_names, vma_name_record);
RECORD_MAP(mm_auxvs, mm_auxv_record);

/* Set by user space once it has learned them from its own mappings; 0 until then. */
__u64 special_ops;
__u32 shmem_device;

/* Which pass this is. */
__u64 session;

static void fill_layout(struct mm_record *r, struct mm_struct *mm)
{
	r->start_code = mm->start_code;
	r->end_code = mm->end_code;
	r->start_data = mm->start_data;
	r->end_data = mm->end_data;
	r->start_brk = mm->start_brk;
	r->brk = mm->brk;
	r->start_stack = mm->start_stack;
	r->arg_start = mm->arg_start;
	r->arg_end = mm->arg_end;
	r->env_start = mm->env_start;
	r->env_end = mm->env_end;
}

/* arch/x86/mm/pkeys.c, arch/x86/include/asm/pkeys.h */
static void fill_keys(struct mm_record *r, const struct mm_struct *mm)
{
	r->keys = r->execute_only_key = 0;
	if (!bpf_core_field_exists(mm->context.pkey_allocation_map))
		return;
	r->keys = mm->context.pkey_allocation_map;
	r->execute_only_key = mm->context.execute_only_pkey;
}

/* The field was of two bytes up to v6.3. */
static int is_ia32(const struct mm_struct *mm)
{
	__u32 size = bpf_core_field_size(mm->context.flags);
	__u64 flags = 0;

	if (!bpf_core_field_exists(mm->context.flags))
		return 0;
	if (size > sizeof(flags))
		size = sizeof(flags);
	bpf_core_read(&flags, size, &mm->context.flags);
	return flags & MM_CONTEXT_UPROBE_IA32;
}

static struct futex_private_hash *futex_hash_of(const struct mm_struct *mm)
{
	const struct mm_struct___v72 *mm_v72 = (const void *)mm;

	if (bpf_core_field_exists(mm_v72->futex))
		return BPF_CORE_READ(mm_v72, futex.phash.hash);
	if (bpf_core_field_exists(mm->futex_phash))
		return BPF_CORE_READ(mm, futex_phash);
	return NULL;
}

static void fill_attributes(struct mm_record *r, const struct mm_struct *mm)
{
	struct futex_private_hash *hash = futex_hash_of(mm);

	r->membarrier = r->futex_slots = r->oddities = 0;
	if (bpf_core_field_exists(mm->membarrier_state))
		r->membarrier = mm->membarrier_state.counter;
	if (hash && BPF_CORE_READ(hash, custom))
		r->futex_slots = BPF_CORE_READ(hash, hash_mask) + 1;
	if (bpf_core_field_exists(mm->context.ldt) && BPF_CORE_READ(mm, context.ldt))
		r->oddities |= MM_LDT;
	if (bpf_core_field_exists(mm->context.lam_cr3_mask) && BPF_CORE_READ(mm, context.lam_cr3_mask))
		r->oddities |= MM_TAGGED_ADDRESS;
	if (is_ia32(mm))
		r->oddities |= MM_IA32;
	fill_keys(r, mm);
}

static __u32 fill_auxv(const struct mm_struct *mm)
{
	__u32 size = bpf_core_field_size(mm->saved_auxv);
	struct mm_auxv_record *r = NEXT_RECORD(mm_auxvs);

	if (!r)
		return 0;
	if (size > sizeof(r->words))
		size = sizeof(r->words);
	r->count = size / sizeof(r->words[0]);
	r->reserved = 0;
	bpf_core_read(r->words, size, &mm->saved_auxv);
	return mm_auxvs_count;
}

static void fill_mm(struct mm_record *r, struct mm_struct *mm)
{
	r->mm = (__u64)mm;
	fill_layout(r, mm);
	fill_attributes(r, mm);
	r->def_flags = mm->def_flags;
	r->exe_file = (__u64)mm->exe_file;
	r->total_vm = ((struct mm_struct___vma *)mm)->total_vm;
	r->locked_vm = mm->locked_vm;
	r->map_count = mm->map_count;

	/* mm_flags_t since v6.18, a word before. */
	if (bpf_core_type_exists(mm_flags_t))
		bpf_core_read(&r->flags, sizeof(r->flags), &mm->flags);
	else
		r->flags = BPF_CORE_READ((struct mm_struct___v617 *)mm, flags);

	r->auxv = fill_auxv(mm);
}

static void fill_file(struct vma_record *r, struct file___vma *file)
{
	struct inode___vma *inode;

	r->file = (__u64)file;
	if (!file) {
		r->f_op = r->inode = r->ino = r->size = 0;
		r->device = r->links = r->file_mode = r->inode_mode = 0;
		return;
	}
	inode = file->f_inode;
	r->f_op = (__u64)file->f_op;
	r->file_mode = file->f_mode;
	r->inode = (__u64)inode;
	r->ino = inode->i_ino;
	r->size = inode->i_size;
	r->links = inode->i_nlink;
	r->inode_mode = inode->i_mode;
	r->device = inode->i_sb->s_dev;
}

/* A name that is not that of a file with a path. */
static void fill_name(struct vma_record *r, struct vm_area_struct *vma, struct file___vma *file)
{
	const void *name = NULL;
	struct vma_name_record *record;

	r->name = 0;
	if (file && shmem_device && r->device == shmem_device)
		name = file->f_path.dentry->d_name.name;
	else if (special_ops && r->ops == special_ops)
		name = BPF_CORE_READ((struct vm_special_mapping *)vma->vm_private_data, name);
	else if (!file && bpf_core_field_exists(vma->anon_name)) {
		struct anon_vma_name *anon = vma->anon_name;

		name = anon ? &anon->name : NULL;
	}
	if (!name)
		return;
	record = NEXT_RECORD(vma_names);
	r->name = vma_names_count;
	if (record)
		bpf_probe_read_kernel_str(record->name, sizeof(record->name), name);
}

SEC("iter/task_vma")
int dump_vmas(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct bpf_iter_meta *meta = ctx->meta;
	struct file___vma *file;
	struct vma_record *r;
	__u64 session_id;

	if (!vma)
		return 0;
	session_id = meta->session_id;
	if (session_id != session) {
		struct mm_struct *mm = vma->vm_mm;
		struct mm_record *m = NEXT_RECORD(mm_map);

		session = session_id;
		if (m && mm)
			fill_mm(m, mm);
	}

	r = NEXT_RECORD(vma_map);
	if (!r)
		return 0;
	file = vma->vm_file;
	r->start = vma->vm_start;
	r->end = vma->vm_end;
	r->flags = vma->vm_flags;
	r->pgoff = vma->vm_pgoff;
	r->ops = (__u64)vma->vm_ops;
	r->anon_vma = (__u64)vma->anon_vma;
	r->policy = bpf_core_field_exists(vma->vm_policy) ? (__u64)vma->vm_policy : 0;
	r->uffd = bpf_core_field_exists(vma->vm_userfaultfd_ctx.ctx) ? (__u64)vma->vm_userfaultfd_ctx.ctx : 0;
	r->private_data = (__u64)vma->vm_private_data;
	r->space = mm_map_count - 1;
	fill_file(r, file);
	fill_name(r, vma, file);
	return 0;
}
