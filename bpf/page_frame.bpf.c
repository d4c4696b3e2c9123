// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The struct page of one page of the tool itself: with its number from /proc/self/pagemap it tells where the array of
 * all struct pages begins (vmemmap, include/asm-generic/memory_model.h), which no symbol does on kernels without
 * CONFIG_KALLSYMS_ALL. The page was put into a pipe by vmsplice(2).
 */
#include "bpf/records.bpf.h"
#include "vmlinux/anon_files.h"
#include "vmlinux/fs.h"

__u32 pipe_fd; /* in: an end of the pipe, which has held nothing else yet */

__u64 page_address;
__u32 page_bytes;

struct page___size {
	unsigned long flags;
} __attribute__((preserve_access_index));

SEC("syscall")
int find_pipe_page(void *unused)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct file **fds = BPF_CORE_READ(self, files, fdt, fd), *file = NULL;
	struct pipe_inode_info *pipe;

	bpf_probe_read_kernel(&file, sizeof(file), fds + pipe_fd);
	pipe = BPF_CORE_READ(file, private_data);
	page_address = (__u64)BPF_CORE_READ(pipe, bufs, page);
	page_bytes = bpf_core_type_size(struct page___size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
