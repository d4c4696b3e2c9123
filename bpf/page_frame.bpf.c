// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where two pages of the tool itself lie: with their numbers from /proc/self/pagemap one tells where the array of all
 * struct pages begins (vmemmap, include/asm-generic/memory_model.h), the other where the kernel has all memory mapped
 * (page_offset_base), which no symbol does on kernels without CONFIG_KALLSYMS_ALL. The first page was put into a pipe
 * by vmsplice(2); the second holds the queues of a small ring, which the kernel reaches through that mapping.
 */
#include "bpf/records.bpf.h"
#include "vmlinux/anon_files.h"
#include "vmlinux/fs.h"
#include "vmlinux/io_uring.h"

__u32 pipe_fd; /* in: an end of the pipe, which has held nothing else yet */
__u32 ring_fd; /* in: the ring */

__u64 page_address; /* struct page of the pipe's */
__u32 page_bytes;
__u64 queues_address;

static __always_inline void *private_data_of(__u32 fd)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct file **fds = BPF_CORE_READ(self, files, fdt, fd), *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), fds + fd);
	return BPF_CORE_READ(file, private_data);
}

SEC("syscall")
int find_queues(void *unused)
{
	struct io_ring_ctx *ring = private_data_of(ring_fd);

	queues_address = (__u64)BPF_CORE_READ(ring, rings);
	return 0;
}

SEC("syscall")
int find_pipe_page(void *unused)
{
	struct pipe_inode_info *pipe = private_data_of(pipe_fd);

	page_address = (__u64)BPF_CORE_READ(pipe, bufs, page);
	page_bytes = bpf_core_type_size(struct page___size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
