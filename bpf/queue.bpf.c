// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What pipes (struct pipe_inode_info) and unix sockets (struct sock) hold that no descriptor leads to: not the bytes,
 * but where they are. A pipe has a page for each buffer; a message of a unix socket (struct sk_buff) begins in memory
 * of its own, and goes on in pages (struct skb_shared_info).
 */
#include "bpf/page.bpf.h"
#include "bpf/records.bpf.h"
#include "iterators/queue_record.h"
#include "vmlinux/anon_files.h"
#include "vmlinux/skbuff.h"
#include "vmlinux/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_PIECES (1 << 20)

RECORD_MAP(queue_pieces, queue_piece_record);

/* The object to look at, written by user space before a program runs. */
INPUT_MAP(queue_inputs);

/* The walk did not come to its end. */
__u32 queue_cut;

static __always_inline void add_piece(__u64 page, __u64 start, __u32 length, __u32 message, __u32 problem)
{
	struct queue_piece_record *record = NEXT_RECORD(queue_pieces);

	if (!record)
		return;
	record->page = page;
	record->start = start;
	record->length = length;
	record->message = message;
	record->problem = problem;
	record->padding = 0;
}

/* --- pipes --- */

struct {
	__u64 bufs;
	__u32 tail;
	__u32 head;
	__u32 mask;
} pipe_walk;

/* A page of a file is good when it is up to date, as its reader would ask (fs/splice.c: page_cache_pipe_buf_confirm()).
 * Other pages have no such question. */
static __always_inline __u32 problem_of(struct pipe_buffer *buffer, __u64 page)
{
	if (!BPF_CORE_READ(buffer, ops, confirm))
		return QUEUE_READABLE;
	return page_flag(head_of_page(page), bpf_core_enum_value(enum pageflags, PG_uptodate)) ? QUEUE_READABLE
											       : QUEUE_STALE;
}

static long pipe_piece(__u32 index, void *unused)
{
	struct pipe_buffer *buffer;
	__u64 page;

	if (pipe_walk.tail == pipe_walk.head)
		return 1;
	buffer = (void *)pipe_walk.bufs +
		 (__u64)(pipe_walk.tail++ & pipe_walk.mask) * bpf_core_type_size(struct pipe_buffer);
	page = (__u64)BPF_CORE_READ(buffer, page);
	add_piece(page, BPF_CORE_READ(buffer, offset), BPF_CORE_READ(buffer, len), index, problem_of(buffer, page));
	return 0;
}

SEC("syscall")
int list_pipe(void *unused)
{
	struct pipe_inode_info *pipe = (void *)INPUT(queue_inputs, 0);

	pipe_walk.bufs = (__u64)BPF_CORE_READ(pipe, bufs);
	pipe_walk.head = BPF_CORE_READ(pipe, head);
	pipe_walk.tail = BPF_CORE_READ(pipe, tail);
	pipe_walk.mask = BPF_CORE_READ(pipe, ring_size) - 1;
	bpf_loop(MAX_PIECES, pipe_piece, NULL, 0);
	queue_cut = pipe_walk.tail != pipe_walk.head;
	return 0;
}

/* --- unix sockets --- */

struct {
	__u64 queue; /* struct sk_buff_head, where the list ends */
	__u64 next;  /* struct sk_buff */
	__u64 info;  /* struct skb_shared_info of the one at hand */
	__u32 frag;  /* to look at next */
	__u32 frags;
	__u32 read; /* bytes at its beginning that have been read already */
	__u32 message;
	__u32 ended;
} skb_walk;

/* Without what has been read. */
static __always_inline void add_unread(__u64 page, __u64 start, __u32 length, __u32 problem)
{
	__u32 skip = skb_walk.read < length ? skb_walk.read : length;

	skb_walk.read -= skip;
	if (length > skip || problem)
		add_piece(page, start + skip, length - skip, skb_walk.message, problem);
}

static __always_inline __u32 problem_of_info(struct skb_shared_info *info)
{
	/* Pages of others that are shared (MSG_SPLICE_PAGES) are read like any. */
	if (BPF_CORE_READ(info, flags) & ~SKBFL_SHARED_FRAG)
		return QUEUE_ZERO_COPY;
	return BPF_CORE_READ(info, frag_list) ? QUEUE_NO_PAGE : QUEUE_READABLE;
}

static __always_inline void begin_message(struct sk_buff *skb)
{
	struct unix_skb_parms *cb = (void *)skb->cb;
	struct skb_shared_info *info = (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end);

	skb_walk.message++;
	skb_walk.next = (__u64)BPF_CORE_READ(skb, next);
	skb_walk.info = (__u64)info;
	skb_walk.frag = 0;
	skb_walk.frags = BPF_CORE_READ(info, nr_frags);
	skb_walk.read = BPF_CORE_READ(cb, consumed);
	add_unread(0, (__u64)BPF_CORE_READ(skb, data), BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len),
		   problem_of_info(info));
}

static __always_inline void add_frag(struct skb_shared_info *info, __u64 index)
{
	struct skb_shared_info___v68 *older = (void *)info;

	if (bpf_core_type_exists(struct skb_frag)) {
		struct skb_frag *frag = (void *)&info->frags + index * bpf_core_type_size(struct skb_frag);
		__u64 page = BPF_CORE_READ(frag, netmem);

		add_unread(page, BPF_CORE_READ(frag, offset), BPF_CORE_READ(frag, len),
			   page & NET_IOV ? QUEUE_NO_PAGE : QUEUE_READABLE);
	} else {
		struct bio_vec *frag = (void *)&older->frags + index * bpf_core_type_size(struct bio_vec);

		add_unread((__u64)BPF_CORE_READ(frag, bv_page), BPF_CORE_READ(frag, bv_offset),
			   BPF_CORE_READ(frag, bv_len), QUEUE_READABLE);
	}
}

static long socket_piece(__u32 index, void *unused)
{
	if (skb_walk.frag < skb_walk.frags) {
		add_frag((void *)skb_walk.info, skb_walk.frag++);
		return 0;
	}
	if (!skb_walk.next || skb_walk.next == skb_walk.queue) {
		skb_walk.ended = 1;
		return 1;
	}
	begin_message((void *)skb_walk.next);
	return 0;
}

SEC("syscall")
int list_socket(void *unused)
{
	struct sock *sk = (void *)INPUT(queue_inputs, 0);

	skb_walk.queue = (__u64)&sk->sk_receive_queue;
	skb_walk.next = (__u64)BPF_CORE_READ(sk, sk_receive_queue.next);
	skb_walk.frag = 0;
	skb_walk.frags = 0;
	skb_walk.message = -1;
	skb_walk.ended = 0;
	bpf_loop(MAX_PIECES, socket_piece, NULL, 0);
	queue_cut = !skb_walk.ended;
	return 0;
}
