// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pages that no process maps any more, or that only a page cache has: what they belong to, and their content, read
 * through the kernel's own mapping of all memory.
 */
#include <linux/types.h>

#include "bpf/page.bpf.h"
#include "bpf/xarray.bpf.h"
#include "iterators/page_record.h"
#include "vmlinux/fs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_PAGES (1 << 20)

RECORD_MAP(pages, page_record);
RECORD_MAP(page_contents, page_content_record);
RECORD_MAP(page_cache, page_cache_record);

/* Addresses, written by user space before a program runs: of struct pages, or of what is in them. */
INPUT_MAP(page_inputs);

/* The walk of a page cache did not come to its end. */
__u32 page_cache_cut;

/* What fallocate(2) has allocated, and nobody has used yet, is not cleared, and reads as zeros (mm/shmem.c). */
static __always_inline int is_blank(__u64 folio)
{
	return !page_flag(folio, bpf_core_enum_value(enum pageflags, PG_uptodate));
}

/* include/linux/page-flags.h: FOLIO_MAPPING_FLAGS */
#define MAPPING_FLAGS 3ULL

static long describe_step(__u32 index, void *unused)
{
	__u64 page = INPUT(page_inputs, index), mapping;
	struct page_record *record;
	struct address_space *cache;
	struct folio *folio;

	if (!page)
		return 1;
	record = NEXT_RECORD(pages);
	if (!record)
		return 1;
	folio = (void *)head_of_page(page);
	mapping = (__u64)BPF_CORE_READ(folio, mapping);
	cache = (void *)mapping;
	record->page = page;
	record->index = page_index(page);
	record->inode = mapping && !(mapping & MAPPING_FLAGS) ? (__u64)BPF_CORE_READ(cache, host) : 0;
	record->other = !mapping && !page_flag((__u64)folio, bpf_core_enum_value(enum pageflags, PG_swapbacked));
	return 0;
}

static long read_step(__u32 index, void *unused)
{
	struct page_content_record *record;
	__u64 address = INPUT(page_inputs, index);

	if (!address)
		return 1;
	record = NEXT_RECORD(page_contents);
	if (!record)
		return 1;
	record->read = !bpf_probe_read_kernel(record->data, sizeof(record->data), (void *)address);
	return 0;
}

static long cache_step(__u32 step, void *unused)
{
	struct page_cache_record *record;
	__u64 entry;

	if (xa.index >= xa.limit)
		return 1;
	entry = xa_next();
	if (!entry || (!(entry & 1) && is_blank(entry)))
		return 0;
	record = NEXT_RECORD(page_cache);
	if (!record)
		return 1;
	record->index = xa.found;
	/* A value is where it was swapped to (mm/shmem.c). Of a large folio the index tells which page it is. */
	record->page = entry & 1 ? 0 : entry + (xa.found - page_index(entry)) * bpf_core_type_size(struct page___size);
	return 0;
}

/* The pages that the page cache has of an inode, the one input. */
SEC("syscall")
int walk_page_cache(void *unused)
{
	struct inode___pages *inode = (void *)INPUT(page_inputs, 0);

	xa_begin((__u64)BPF_CORE_READ(inode, i_mapping, i_pages.xa_head));
	bpf_loop(MAX_PAGES, cache_step, NULL, 0);
	page_cache_cut = xa.index < xa.limit;
	return 0;
}

SEC("syscall")
int describe_pages(void *unused)
{
	bpf_loop(MAX_PAGES, describe_step, NULL, 0);
	return 0;
}

SEC("syscall")
int read_pages(void *unused)
{
	bpf_loop(MAX_PAGES, read_step, NULL, 0);
	return 0;
}
