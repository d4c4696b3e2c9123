/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Process numbers as the tool sees them.
 *
 * task_struct.pid is a number of the initial PID namespace. The tool's own namespace is that of the current task: these
 * programs run in its context, and the iterators enumerate the same namespace (kernel/bpf/task_iter.c:
 * init_seq_pidns()).
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "vmlinux/pid.h"
#include "vmlinux/sched.h"

/* The number of `pid` at one level of nesting (include/linux/pid.h); all zero beyond its own level. */
static __always_inline struct upid upid_at(const struct pid *pid, __u32 level)
{
	struct upid upid = {};

	if (!pid || level > BPF_CORE_READ(pid, level))
		return upid;
	bpf_probe_read_kernel(&upid.nr, sizeof(upid.nr),
			      (const void *)&pid->numbers + level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	bpf_probe_read_kernel(&upid.ns, sizeof(upid.ns),
			      (const void *)&pid->numbers + level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, ns));
	return upid;
}

struct own_pidns {
	struct pid_namespace *ns;
	__u32 level;
};

static __always_inline struct own_pidns own_pidns(void)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(self, thread_pid);
	struct own_pidns own = {.level = BPF_CORE_READ(pid, level)};

	own.ns = upid_at(pid, own.level).ns;
	return own;
}

/* The number of `pid` at a level, 0 if that is of another namespace; NULL: of any. Global, as all functions are that
 * many others call: the verifier goes through them once, and not for each way that leads there.
 */
__noinline __u32 pid_nr_at(__u64 pid, __u32 level, __u64 ns)
{
	struct upid upid = upid_at((const struct pid *)pid, level);

	return !ns || (__u64)upid.ns == ns ? upid.nr : 0;
}

/* The number of `pid` in the tool's namespace, 0 if it has none there (kernel/pid.c: pid_nr_ns()). */
static __always_inline __u32 own_pid_nr(const struct own_pidns *own, const struct pid *pid)
{
	return pid_nr_at((__u64)pid, own->level, (__u64)own->ns);
}
