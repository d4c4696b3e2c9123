/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A thread inside io_uring_enter (io_uring/wait.h; io_uring/io_uring.h up to v6.18). */
#pragma once

#include "vmlinux/hrtimer.h"
#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct wait_queue_entry {
	void *private;
};

struct io_wait_queue {
	struct wait_queue_entry wq;
	ktime_t timeout;
	struct hrtimer t; /* v6.12; before, an ordinary sleeper */
};

#pragma clang attribute pop
