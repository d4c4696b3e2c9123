/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What struct file.private_data of the small kinds holds: eventfd, timerfd, signalfd, memfd, pidfd. */
#pragma once

#include "bpf/file_learn.bpf.h"
#include "bpf/hrtimer.bpf.h"
#include "vmlinux/anon_files.h"

/* Of debugging kernels, whose locks are large, too. */
__u64 eventfd_copy[64];

static __always_inline void describe_eventfd(struct file_record *record)
{
	struct eventfd_ctx *copy = (void *)eventfd_copy;
	__u32 bytes = bpf_core_type_size(struct eventfd_ctx);

	if (bytes > sizeof(eventfd_copy)) {
		copy = (void *)record->private_data;
		record->eventfd.count = BPF_CORE_READ(copy, count);
		record->eventfd.flags = BPF_CORE_READ(copy, flags);
		return;
	}
	bpf_probe_read_kernel(eventfd_copy, bytes, (void *)record->private_data);
	record->eventfd.count = copy->count;
	record->eventfd.flags = copy->flags;
}

static __always_inline void describe_timerfd(struct file_record *record)
{
	struct timerfd_ctx *ctx = (void *)record->private_data;
	int clock = BPF_CORE_READ(ctx, clockid);

	if (clock == 8 || clock == 9) { /* the ALARM clocks have queues of their own (kernel/time/alarmtimer.c) */
		record->timerfd.expires = BPF_CORE_READ(ctx, t.alarm.node.expires);
		record->timerfd.armed = BPF_CORE_READ(ctx, t.alarm.state) & 1;
		record->timerfd.base_clock = clock;
	} else {
		record->timerfd.expires = BPF_CORE_READ(ctx, t.tmr._softexpires);
		record->timerfd.armed = hrtimer_is_queued(&ctx->t.tmr);
		record->timerfd.base_clock = BPF_CORE_READ(ctx, t.tmr.base, clockid);
	}
	record->timerfd.interval = BPF_CORE_READ(ctx, tintv);
	record->timerfd.ticks = BPF_CORE_READ(ctx, ticks);
	record->timerfd.clock_id = clock;
	record->timerfd.expired = BPF_CORE_READ(ctx, expired);
	record->timerfd.settime_flags = BPF_CORE_READ(ctx, settime_flags);
}

static __always_inline void describe_signalfd(struct file_record *record)
{
	struct signalfd_ctx *ctx = (void *)record->private_data;

	record->signalfd.mask = ~BPF_CORE_READ(ctx, sigmask.sig[0]);
}

static __always_inline void describe_memfd(struct file_record *record)
{
	struct inode *inode = (void *)record->inode;

	record->memfd.seals = 0;
	if (record->s_magic == FILE_MAGIC_TMPFS) {
		struct shmem_inode_info *info =
			(void *)inode - bpf_core_field_offset(struct shmem_inode_info, vfs_inode);

		record->memfd.seals = BPF_CORE_READ(info, seals);
	} else if (bpf_core_type_exists(struct hugetlbfs_inode_info)) {
		struct hugetlbfs_inode_info *info =
			(void *)inode - bpf_core_field_offset(struct hugetlbfs_inode_info, vfs_inode);

		record->memfd.seals = BPF_CORE_READ(info, seals);
	}
}

/* pidfs (v6.9) keeps the pid in the inode as well; private_data has it in all versions. */
static __always_inline void describe_pidfd(struct file_record *record, const struct inode *inode)
{
	struct pid *pid = (void *)record->private_data;

	if (!pid)
		pid = inode->i_private;
	record->pidfd.pid_object = (__u64)pid;
	record->pidfd.pid = pid_nr(pid);
	record->pidfd.gone = !BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first);
}
