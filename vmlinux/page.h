/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pages (include/linux/mm_types.h), only the fields that are read, as in v6.18; older and newer layouts are flavours. */
#pragma once

#include "vmlinux/xarray.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode;

struct address_space {
	struct inode *host;
	struct xarray i_pages;
};

struct inode___pages {
	struct address_space *i_mapping;
};

struct page {
	unsigned long compound_head;
	unsigned long __folio_index;
};

struct page___index {
	unsigned long index;
};

/* v7.2: compound_head by another name; in a tail page also a mask (include/linux/page-flags.h: _compound_head()). */
struct page___v72 {
	unsigned long compound_info;
};

struct page___size {
	unsigned long flags;
};

/* include/linux/page-flags.h; its number differs. */
enum pageflags {
	PG_uptodate = 2,
	PG_swapbacked = 17,
};

struct folio {
	struct address_space *mapping; /* bit 0: an anonymous page's struct anon_vma */
};

#pragma clang attribute pop
