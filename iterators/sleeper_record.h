/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A thread that sleeps until an hrtimer expires (struct hrtimer_sleeper, include/linux/hrtimer.h; struct io_wait_queue,
 * io_uring/wait.h), or until a tick of the timer wheel (struct process_timer, kernel/time/sleep_timeout.c).
 */
#pragma once

#include "iterators/record.h"

enum sleeper_kind {
	SLEEPER_TIMEOUT = 1,      /* hrtimer_sleeper: nanosleep, poll, select, epoll, futex, sigtimedwait, ... */
	SLEEPER_IO_URING = 2,     /* io_uring_enter with a timeout */
	SLEEPER_IO_URING_MIN = 3, /* the same, while its min_timeout runs: the final timeout is in `final_ns` */
	SLEEPER_WHEEL = 4         /* schedule_timeout(): a socket with SO_RCVTIMEO or SO_SNDTIMEO */
};

struct sleeper_record {
	__u64 task;     /* struct task_struct: an identity, never shown */
	__s64 soft_ns;  /* the deadline that the program asked for, absolute on `clock` */
	__s64 hard_ns;  /* soft_ns and the timer slack */
	__s64 final_ns; /* SLEEPER_IO_URING_MIN only */
	__u64 switches; /* nvcsw of the task: unchanged, it still is in the same sleep */
	__u32 tid;      /* in the tool's own PID namespace; 0: not visible there */
	__u32 clock;    /* CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME or CLOCK_TAI */
	__u32 kind;     /* enum sleeper_kind */
	__u32 reserved;
};

RECORD_LAYOUT(sleeper_record, 56, reserved, 52);
