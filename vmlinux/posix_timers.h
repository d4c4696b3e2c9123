/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* POSIX timers (include/linux/posix-timers.h, alarmtimer.h, sched/signal.h). */
#pragma once

#include "vmlinux/hrtimer.h"
#include "vmlinux/pid.h"
#include "vmlinux/signal.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct alarm {
	struct timerqueue_node node;
	int type; /* ALARM_REALTIME, ALARM_BOOTTIME */
};

struct cpu_timer {
	struct timerqueue_node node;
	struct pid *pid;
};

struct k_itimer {
	struct hlist_node list; /* a list_head before v6.13: `next` comes first in both */
	int it_id;
	int it_clock;
	int it_sigev_notify;
	int it_status; /* v6.13, 20f13385b583; enum posix_timer_state */
	__s64 it_overrun;
	__s64 it_overrun_last;
	ktime_t it_interval;
	struct pid *it_pid;
	struct sigqueue sigq; /* v6.13 */
	union {
		struct {
			struct hrtimer timer;
		} real;
		struct cpu_timer cpu;
		struct {
			struct alarm alarmtimer;
		} alarm;
	} it;
};

/* Up to v6.12. */
struct k_itimer___v612 {
	int it_active;
	int it_requeue_pending;
	struct sigqueue *sigq;
};

/* Where the next ID is sought: an atomic_t since v6.15; before, an unsigned int (v6.4) and an int of another name. */
struct signal_struct___v64 {
	unsigned int next_posix_timer_id;
};

struct signal_struct___v61 {
	int posix_timer_id;
};

#pragma clang attribute pop
