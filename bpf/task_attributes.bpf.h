/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread has set for itself by prctl(2), arch_prctl(2), sched_setattr(2), set_mempolicy(2) and other calls that
 * leave a mark in its task_struct only. What a dump refuses is one bit, of enum task_oddity.
 */
#pragma once

#include "iterators/task_record.h"
#include "vmlinux/sched.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define DR7_ENABLED     0xff                /* L0, G0, ... G3 (arch/x86/kernel/ptrace.c: ptrace_write_dr7()) */
#define MPOL_USER_NODES (1 << 15 | 1 << 14) /* MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES */

static __always_inline __u32 machine_oddities(const struct task_struct *task)
{
	__u64 segments[3] = {};
	__u32 found = 0;

	bpf_core_read(segments, sizeof(segments), &task->thread.tls_array);
	if (segments[0] | segments[1] | segments[2])
		found |= TASK_TLS_SEGMENTS;
	if (BPF_CORE_READ(task, thread.ptrace_dr7) & DR7_ENABLED)
		found |= TASK_BREAKPOINTS;
	if (bpf_core_field_exists(task->thread.io_bitmap) && BPF_CORE_READ(task, thread.io_bitmap))
		found |= TASK_IO_PORTS;
	if (bpf_core_field_exists(task->thread.iopl_emul) && BPF_CORE_READ(task, thread.iopl_emul))
		found |= TASK_IO_PORTS;
	return found;
}

static __always_inline __u32 scheduling_oddities(const struct task_struct *task)
{
	const struct task_struct___v70 *task_v70 = (const void *)task;
	__u32 found = 0;

	if (bpf_core_field_exists(task->core_cookie) && BPF_CORE_READ(task, core_cookie))
		found |= TASK_CORE_COOKIE;
	if (bpf_core_field_exists(task->uclamp_req) &&
	    (BPF_CORE_READ_BITFIELD_PROBED(task, uclamp_req[0].user_defined) ||
	     BPF_CORE_READ_BITFIELD_PROBED(task, uclamp_req[1].user_defined)))
		found |= TASK_UCLAMP;
	if (bpf_core_field_exists(task_v70->rseq.slice) && BPF_CORE_READ(task_v70, rseq.slice.state.state))
		found |= TASK_RSEQ_SLICE;
	return found;
}

/* The word of security modules' part of the credentials that is a thread's Landlock domain; none: not known, or none
 * can be. */
__u32 landlock_word = TASK_SECURITY_WORDS;

static __always_inline _Bool has_landlock_domain(const struct cred *cred)
{
	__u64 domain = 0;

	if (!bpf_core_field_exists(cred->security) || landlock_word >= TASK_SECURITY_WORDS)
		return 0;
	bpf_probe_read_kernel(&domain, sizeof(domain), (__u64 *)BPF_CORE_READ(cred, security) + landlock_word);
	return domain != 0;
}

static __always_inline __u32 ipc_oddities(const struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, real_cred);
	__u32 found = 0;

	if (bpf_core_field_exists(cred->thread_keyring) &&
	    (BPF_CORE_READ(cred, thread_keyring) || BPF_CORE_READ(cred, process_keyring)))
		found |= TASK_KEYRING;
	if (has_landlock_domain(cred))
		found |= TASK_LANDLOCK;
	if (bpf_core_field_exists(task->sysvsem)) {
		struct sem_undo_list *undo = BPF_CORE_READ(task, sysvsem.undo_list);

		/* Of semaphores that exist: ipc/sem.c: exit_sem() walks it. */
		if (undo && BPF_CORE_READ(undo, list_proc.next) != &undo->list_proc)
			found |= TASK_SEM_UNDO;
	}
	return found;
}

static __always_inline void read_memory_policy(struct task_attributes *to, const struct task_struct *task)
{
	const struct mempolicy *policy;
	__u32 size;

	to->memory_policy = 0;
	to->memory_policy_flags = 0;
	__builtin_memset(to->nodes, 0, sizeof(to->nodes));
	if (!bpf_core_field_exists(task->mempolicy))
		return;
	policy = BPF_CORE_READ(task, mempolicy);
	if (!policy)
		return;
	to->memory_policy = BPF_CORE_READ(policy, mode);
	to->memory_policy_flags = BPF_CORE_READ(policy, flags);
	size = bpf_core_field_size(policy->nodes);
	if (size > sizeof(to->nodes))
		size = sizeof(to->nodes);
	if (to->memory_policy_flags & MPOL_USER_NODES)
		bpf_core_read(to->nodes, size, &policy->w.user_nodemask);
	else
		bpf_core_read(to->nodes, size, &policy->nodes);
}

static __always_inline void read_attributes(struct task_attributes *to, const struct task_struct *task)
{
	to->css_set = bpf_core_field_exists(task->cgroups) ? (__u64)BPF_CORE_READ(task, cgroups) : 0;
	to->slice_ns = 0;
	if (bpf_core_field_exists(task->se.custom_slice) && BPF_CORE_READ_BITFIELD_PROBED(task, se.custom_slice))
		to->slice_ns = BPF_CORE_READ(task, se.slice);
	to->oddities = machine_oddities(task) | scheduling_oddities(task) | ipc_oddities(task);
	to->thread_flags = task->thread_info.flags;
	to->atomic_flags = task->atomic_flags;
	to->task_flags = task->flags;
	to->reserved = 0;
	read_memory_policy(to, task);
}
