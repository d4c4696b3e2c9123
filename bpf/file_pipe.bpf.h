/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pipes and FIFOs, and the lengths of what they hold (include/linux/pipe_fs_i.h). */
#pragma once

#include "bpf/records.bpf.h"
#include "iterators/file_record.h"
#include "vmlinux/anon_files.h"
#include "vmlinux/fs.h"

#define MAX_PIPE_BUFFERS (1 << 20)

RECORD_MAP(pipe_buffers, pipe_buffer_record);

struct pipe_walk {
	struct pipe_buffer *bufs;
	__u32 tail;
	__u32 head;
	__u32 mask;
	struct file_record *record;
};

static long pipe_step(__u32 index, struct pipe_walk *walk)
{
	struct pipe_buffer_record *record;
	struct pipe_buffer *buffer;
	__u64 slot;
	__u32 length;

	if (walk->tail == walk->head)
		return 1;
	slot = walk->tail++ & walk->mask;
	buffer = (void *)walk->bufs + slot * bpf_core_type_size(struct pipe_buffer);
	length = BPF_CORE_READ(buffer, len);
	walk->record->pipe.used++;
	walk->record->pipe.queued += length;
	record = NEXT_RECORD(pipe_buffers);
	if (record) {
		record->file = walk->record->file;
		record->length = length;
		record->flags = BPF_CORE_READ(buffer, flags);
	}
	return 0;
}

/* fs/pipe.c: fifo_open(), pipe_poll() */
static __always_inline __u32 seen_writers(const struct file *file)
{
	if (bpf_core_field_exists(file->f_pipe))
		return BPF_CORE_READ(file, f_pipe);
	return BPF_CORE_READ((const struct file___v611 *)file, f_version);
}

static __noinline int describe_pipe(struct file_record *record)
{
	struct pipe_walk walk = {.record = record};
	struct pipe_inode_info *pipe;

	if (!record)
		return 0;
	pipe = (void *)record->private_data;
	walk.bufs = BPF_CORE_READ(pipe, bufs);
	walk.head = BPF_CORE_READ(pipe, head);
	walk.tail = BPF_CORE_READ(pipe, tail);
	walk.mask = BPF_CORE_READ(pipe, ring_size) - 1;
	record->pipe.slots = BPF_CORE_READ(pipe, max_usage);
	record->pipe.readers = BPF_CORE_READ(pipe, readers);
	record->pipe.writers = BPF_CORE_READ(pipe, writers);
	/* The low bits are flags (kernel/locking/mutex.c: MUTEX_FLAGS). */
	record->pipe.locked = (BPF_CORE_READ(pipe, mutex.owner.counter) & ~7LL) != 0;
	record->pipe.no_writer_yet =
		!record->pipe.writers && seen_writers((void *)record->file) == BPF_CORE_READ(pipe, w_counter);
	record->pipe.used = 0;
	record->pipe.queued = 0;
	bpf_loop(MAX_PIPE_BUFFERS, pipe_step, &walk, 0);
	return 0;
}
