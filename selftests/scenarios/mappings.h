/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a program sees of its own address space: mappings as text, and which of its pages are populated.
 */
#ifndef BPFCKPT_MAPPINGS_H
#define BPFCKPT_MAPPINGS_H

#include <stddef.h>

#include "selftests/scenarios/page_pattern.h"

/*
 * Start, end, protection, offset, name and VmFlags of every mapping that overlaps [from, to), a line each. Neighbours
 * that the kernel could have merged are one line; inode numbers of nameless objects are left out. Static buffer.
 */
const char *mappings_text(const void *from, const void *to);

/* Pages of [address, address + size) that are present or swapped out, the zero page included. */
size_t populated_pages(const void *address, size_t size);

#endif
