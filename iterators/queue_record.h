/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the content of a pipe or of a unix socket's queue lies in memory, as bpf/queue.bpf.c says it. */
#pragma once

#include "iterators/record.h"

#define QUEUE_READABLE  0u
#define QUEUE_STALE     1u /* a page of a file whose content has not been read from the disk, or was cut off */
#define QUEUE_ZERO_COPY 2u /* memory that somebody lends until it is received (SKBFL_ZEROCOPY_ENABLE) */
#define QUEUE_NO_PAGE   3u /* memory of a device, or lists of buffers: no unix socket makes such */

/* Bytes that follow each other in memory. Those of one message are in their order, and so are the messages. */
struct queue_piece_record {
	__u64 page;  /* struct page in which they begin; 0: `start` is an address */
	__u64 start; /* an address, or where in the page; may be beyond its end, where the page is the first of many */
	__u32 length;
	__u32 message; /* counted from 0: a struct pipe_buffer, or a struct sk_buff */
	__u32 problem; /* QUEUE_* */
	__u32 padding;
};
RECORD_LAYOUT(queue_piece_record, 32, padding, 28);
