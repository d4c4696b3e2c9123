/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Signals (include/linux/signal_types.h, sched/signal.h). */
#pragma once

#include "vmlinux/hrtimer.h"
#include "vmlinux/pid.h"
#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sigaction {
	void *sa_handler;
	unsigned long sa_flags;
	void *sa_restorer;
	sigset_t sa_mask;
};

struct k_sigaction {
	struct sigaction sa;
};

struct sighand_struct {
	refcount_t count;
	struct k_sigaction action[64];
};

/* What goes to user space: the first 48 bytes (SI_EXPANSION_SIZE fills the rest with zeros). */
struct kernel_siginfo {
	int si_signo;
	int si_errno;
	int si_code;
	union {
		struct {
			union {
				void *sival_ptr;
			} _sigval;
		} _timer;
	} _sifields;
};

#define SIGQUEUE_PREALLOC 1 /* belongs to a POSIX timer */

struct sigqueue {
	struct list_head list;
	int flags;
	struct kernel_siginfo info;
};

struct sigpending {
	struct list_head list;
	sigset_t signal;
};

struct cpu_itimer {
	__u64 expires;
	__u64 incr;
};

struct rlimit {
	unsigned long rlim_cur;
	unsigned long rlim_max;
};

struct task_cputime_atomic {
	atomic64_t utime;
	atomic64_t stime;
	atomic64_t sum_exec_runtime;
};

struct thread_group_cputimer {
	struct task_cputime_atomic cputime_atomic;
};

struct tty_struct;

struct signal_struct {
	refcount_t sigcnt;
	atomic_t live;
	int nr_threads;
	struct list_head thread_head;
	struct sigpending shared_pending;
	int group_exit_code;
	int group_stop_count;
	unsigned int flags;
	unsigned int is_child_subreaper : 1;
	unsigned int has_child_subreaper : 1;
	unsigned int timer_create_restore_ids : 1;
	atomic_t next_posix_timer_id;
	struct hlist_head posix_timers;
	struct hlist_head ignored_posix_timers;
	struct hrtimer real_timer;
	ktime_t it_real_incr;
	struct cpu_itimer it[2];
	struct thread_group_cputimer cputimer;
	struct pid *pids[PIDTYPE_MAX];
	int leader;
	struct tty_struct *tty;
	__u64 utime;
	__u64 stime;
	struct rlimit rlim[16];
	short oom_score_adj;
	short oom_score_adj_min;
};

#pragma clang attribute pop
