/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* io_uring state of a task (include/linux/io_uring_types.h). */
#pragma once

#include "vmlinux/types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file;

struct io_uring_task {
	struct file *registered_rings[16];
};

#pragma clang attribute pop
