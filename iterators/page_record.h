/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pages (struct page, struct folio) as bpf/page.bpf.c reads them: addresses as identities. */
#pragma once

#include "iterators/record.h"

/* A page and where the reverse map would look for it (mm/rmap.c). */
struct page_record {
	__u64 page;
	__u64 index; /* in its mapping, or of an anonymous page: its address / 4096, unless it was moved (mremap) */
	__u64 inode; /* struct inode that has it in its page cache; 0: it is anonymous, or was cut off */
	__u64 other; /* it is not the memory of a program: that of a ring, of a driver; or was that of a file on a disk
		      */
};
RECORD_LAYOUT(page_record, 32, other, 24);

#define PAGE_CONTENT_BYTES 4096

struct page_content_record {
	__u64 read; /* 0: it could not be */
	__u8 data[PAGE_CONTENT_BYTES];
};
RECORD_LAYOUT(page_content_record, 4104, data, 8);

/* A page of a page cache. */
struct page_cache_record {
	__u64 page; /* struct page; 0: not in memory (swapped out) */
	__u64 index;
};
RECORD_LAYOUT(page_cache_record, 16, index, 8);
