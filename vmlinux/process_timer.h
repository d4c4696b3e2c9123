/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A sleep whose timeout is in the timer wheel (kernel/time/sleep_timeout.c: schedule_timeout(); timer.c before v6.13). */
#pragma once

#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct;

struct timer_list {
	struct hlist_node entry;
	unsigned long expires; /* in jiffies */
	void *function;
};

/* On the stack of the task that sleeps. */
struct process_timer {
	struct timer_list timer;
	struct task_struct *task;
};

#pragma clang attribute pop
