/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a message of a socket consists of (include/linux/skbuff.h), only the fields that are read, as in v6.18. */
#pragma once

#include "vmlinux/types.h"

#define SKBFL_SHARED_FRAG 2   /* enum without a name */
#define NET_IOV           1UL /* include/net/netmem.h: it is no struct page */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef unsigned long netmem_ref;

struct skb_frag {
	netmem_ref netmem;
	unsigned int len;
	unsigned int offset;
};

struct skb_shared_info {
	__u8 flags;
	__u8 nr_frags;
	struct sk_buff *frag_list;
	struct skb_frag frags[17];
};

/* Up to v6.8 a struct bio_vec by another name (21d2e6737c97). */
struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

struct skb_shared_info___v68 {
	struct bio_vec frags[17];
};

#pragma clang attribute pop
