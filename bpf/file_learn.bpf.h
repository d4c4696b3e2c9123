/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the tool has learned of the running kernel before it reads anything (learn_kinds in file.bpf.c). */
#pragma once

#include "bpf/pidns.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/fs.h"

/* By learn_kinds: one fd of the tool per kind, -1 where the kernel has none, and what the kernel uses for it. */
__s32 kind_fd[FILE_KIND_COUNT];
__u64 kind_f_op[FILE_KIND_COUNT];
__u64 learned_receive_timeo;
/* The PID namespace of the tool. */
struct pid_namespace *own_pid_namespace;
__u32 own_pid_level;

static __always_inline __u32 pid_nr(const struct pid *pid)
{
	struct own_pidns own = {.ns = own_pid_namespace, .level = own_pid_level};

	return own_pid_nr(&own, pid);
}
