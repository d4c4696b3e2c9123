/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every record header includes: fixed-width types and the layout check, in C (BPF) and in C++ alike.
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define RECORD_ASSERT(condition) static_assert(condition, #condition)
#else
#define RECORD_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* Both compilations see the same size and the same offset of the last field. */
#define RECORD_LAYOUT(type, size, last, offset)                           \
	RECORD_ASSERT(sizeof(struct type) == (size));                     \
	RECORD_ASSERT(__builtin_offsetof(struct type, last) == (offset)); \
	RECORD_ASSERT(sizeof(struct type) % 8 == 0)
