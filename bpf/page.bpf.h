/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a struct page tells of its place (include/linux/mm_types.h). */
#pragma once

#include "bpf/kernel_read.bpf.h"
#include "bpf/records.bpf.h"
#include "vmlinux/page.h"

/*
 * Where an anonymous page lies in its process: the index of its folio is the address / 4096 (mm/rmap.c:
 * folio_add_new_anon_rmap()), unless it was moved by mremap() since; user space checks it against the page map.
 */
static __always_inline __u64 head_of_page(__u64 address)
{
	struct page___v72 *v72 = (void *)address;
	__u64 info, bytes;

	if (bpf_core_field_exists(v72->compound_info))
		info = BPF_CORE_READ(v72, compound_info);
	else
		info = BPF_CORE_READ((struct page *)address, compound_head);
	if (!(info & 1))
		return address;
	info--;
	/* A mask of the high bits, or the address of the head? The configuration decides, but none looks like the
	 * other. */
	bytes = -info;
	if (bpf_core_field_exists(v72->compound_info) && info >> 32 == 0xffffffff && !(bytes & (bytes - 1)))
		return address & info;
	return info;
}

static __always_inline __u64 page_index(__u64 address)
{
	__u64 head = head_of_page(address);
	struct page *page = (void *)head;

	if (bpf_core_field_exists(page->__folio_index))
		return BPF_CORE_READ(page, __folio_index) + (address - head) / bpf_core_type_size(struct page);
	return BPF_CORE_READ((struct page___index *)page, index) + (address - head) / bpf_core_type_size(struct page);
}

/* Of a folio: the flags are first of all in a struct page, by one type or another. */
static __always_inline int page_flag(__u64 folio, int flag)
{
	return read_u64(folio) >> flag & 1;
}
