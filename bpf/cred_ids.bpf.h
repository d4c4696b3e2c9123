/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Credentials (struct cred, include/linux/cred.h) without the list of their supplementary groups.
 */
#pragma once

#include "bpf/records.bpf.h"
#include "iterators/cred_record.h"
#include "vmlinux/cred.h"

static __always_inline void read_cred_ids(struct task_credentials *to, const struct cred *cred)
{
	to->cred = (__u64)cred;
	to->group_info = (__u64)BPF_CORE_READ(cred, group_info);
	to->uid = BPF_CORE_READ(cred, uid.val);
	to->gid = BPF_CORE_READ(cred, gid.val);
	to->suid = BPF_CORE_READ(cred, suid.val);
	to->sgid = BPF_CORE_READ(cred, sgid.val);
	to->euid = BPF_CORE_READ(cred, euid.val);
	to->egid = BPF_CORE_READ(cred, egid.val);
	to->fsuid = BPF_CORE_READ(cred, fsuid.val);
	to->fsgid = BPF_CORE_READ(cred, fsgid.val);
	to->securebits = BPF_CORE_READ(cred, securebits);
	bpf_core_read(&to->inheritable, sizeof(__u64), &cred->cap_inheritable);
	bpf_core_read(&to->permitted, sizeof(__u64), &cred->cap_permitted);
	bpf_core_read(&to->effective, sizeof(__u64), &cred->cap_effective);
	bpf_core_read(&to->bounding, sizeof(__u64), &cred->cap_bset);
	bpf_core_read(&to->ambient, sizeof(__u64), &cred->cap_ambient);
	to->group_count = BPF_CORE_READ(cred, group_info, ngroups);
}
