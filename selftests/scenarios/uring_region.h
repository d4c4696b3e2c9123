/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory regions of a ring, for arguments of waits (include/uapi/linux/io_uring.h of Linux 6.14). */
#ifndef BPFCKPT_URING_REGION_H
#define BPFCKPT_URING_REGION_H

#include <linux/time_types.h>

enum {
	REGISTER_REGION = 34,
	REGION_OF_USER = 1,
	REGION_FOR_WAITS = 1,
	REGION_SIZE = 8192,
	MAP_REGION = 0x20000000,
	ENTER_EXT_ARG_REG = 1 << 6,
	REG_WAIT_TS = 1,
};

struct region_descriptor {
	unsigned long long user_addr, size;
	unsigned flags, id;
	unsigned long long mmap_offset, reserved[4];
};

struct region_registration {
	unsigned long long region_uptr, flags, reserved[2];
};

struct wait_argument { /* struct io_uring_reg_wait */
	struct __kernel_timespec ts;
	unsigned min_wait_usec, flags;
	unsigned long long sigmask;
	unsigned sigmask_sz, pad[3];
	unsigned long long pad2[2];
};

#endif
