/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* High-resolution timers (include/linux/hrtimer_types.h, hrtimer_defs.h, timerqueue_types.h). */
#pragma once

#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct;
struct hrtimer_clock_base;

struct timerqueue_node {
	ktime_t expires;
};

/*
 * v7.1 queues hrtimers in linked nodes (struct timerqueue_linked_node); the fields read here have the same names, so that
 * one declaration serves both.
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
	int clockid;
};

struct hrtimer_sleeper {
	struct hrtimer timer;
	struct task_struct *task;
};

#pragma clang attribute pop
