/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* include/linux/xarray.h, only the fields that are read; the same from v6.1 to v7.2. */
#pragma once

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64];
};

#pragma clang attribute pop
