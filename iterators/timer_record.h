/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* POSIX timers (struct k_itimer) and interval timers (struct signal_struct), as bpf/timer.bpf.c reports them. */
#pragma once

#include "iterators/record.h"

enum timer_flag {
	TIMER_ARMED = 1 << 0,           /* queued; for a CPU clock: has an expiry */
	TIMER_REQUEUE_PENDING = 1 << 1, /* periodic: expired, goes on when its signal is taken */
	TIMER_SIGNAL_QUEUED = 1 << 2,
	TIMER_ALARM = 1 << 3,       /* CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM */
	TIMER_CPU = 1 << 4,         /* measures CPU time */
	TIMER_NO_TARGET = 1 << 5,   /* TIMER_CPU: what it measured has ended */
	TIMER_NO_RECEIVER = 1 << 6, /* SIGEV_THREAD_ID: the thread has exited */
};

/* Records of one process come newest timer first, after its itimer_record. */
struct timer_record {
	__u64 value; /* sigev_value */
	__s64 interval_ns;
	__s64 expires_ns; /* absolute: on `base_clock`, or CPU time of the target */
	__s64 cpu_now_ns; /* TIMER_CPU: the clock's time now */
	__s64 overrun;    /* it_overrun: -1 when none */
	__s64 overrun_last;
	__u32 pid;
	__s32 id;
	__s32 clock;      /* it_clock */
	__u32 base_clock; /* clock of expires_ns: a relative CLOCK_REALTIME timer runs on CLOCK_MONOTONIC */
	__u32 notify;     /* SIGEV_* */
	__u32 signal;
	__u32 notify_tid; /* SIGEV_THREAD_ID */
	__u32 target;     /* TIMER_CPU: pid or tid */
	__u32 flags;      /* enum timer_flag */
	__u32 reserved;
};

RECORD_LAYOUT(timer_record, 88, reserved, 84);

/* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF and the count of timer IDs: one per process. */
struct itimer_record {
	__s64 real_expires_ns; /* CLOCK_MONOTONIC; 0: disarmed */
	__s64 real_interval_ns;
	__s64 virtual_expires_ns; /* user time of the process; 0: disarmed */
	__s64 virtual_interval_ns;
	__s64 prof_expires_ns; /* user and system time */
	__s64 prof_interval_ns;
	__s64 user_ns; /* CPU time of the process now, as these timers see it; 0 while none of them runs */
	__s64 system_ns;
	__u32 pid;
	__u32 next_id;    /* where timer_create(2) begins its search */
	__u32 timers;     /* timer_records of this process, also those for which there was no room */
	__u32 incomplete; /* the walk reached its bound */
};

RECORD_LAYOUT(itimer_record, 80, incomplete, 76);
