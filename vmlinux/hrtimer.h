/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* High-resolution timers and their queues (include/linux/hrtimer_types.h, hrtimer_defs.h, timerqueue_types.h). */
#pragma once

#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct;
struct hrtimer_clock_base;
struct hrtimer_cpu_base;

struct timerqueue_node {
	struct rb_node node;
	ktime_t expires;
};

struct timerqueue_head {
	struct rb_root_cached rb_root;
};

/*
 * v7.1 queues hrtimers in linked nodes (struct timerqueue_linked_node, rb_node_linked): an rb_node first, then links.
 * The fields read here have the same names, so that one declaration serves both.
 */
struct hrtimer {
	struct timerqueue_node node;
	ktime_t _softexpires;
	void *function;
	struct hrtimer_clock_base *base;
	__u8 state;
};

/* v7.1: a flag in place of the state bits. */
struct hrtimer___v71 {
	_Bool is_queued;
};

struct hrtimer_clock_base {
	struct hrtimer_cpu_base *cpu_base;
	unsigned int index;
	int clockid;
	struct timerqueue_head active;
};

struct hrtimer_cpu_base {
	unsigned int cpu;
	struct hrtimer_clock_base clock_base[8];
};

struct hrtimer_sleeper {
	struct hrtimer timer;
	struct task_struct *task;
};

#pragma clang attribute pop
