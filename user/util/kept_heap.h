/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// KeptHeap: for the time in which a target is stopped, room in the heap that was touched before, because each new page
// costs a fault. What is freed meanwhile stays there (mallopt(3)).
#pragma once

#include <cstring>

#include <malloc.h>
#include <stdlib.h>

namespace bpfckpt {

// Larger blocks get memory of their own. Without a fixed limit glibc learns from those that loading BPF objects takes
// for a moment to keep such blocks in its heaps.
constexpr int kLargeBlock = 256 << 10;

class KeptHeap {
public:
	KeptHeap()
	{
		mallopt(M_MMAP_THRESHOLD, 4 << 20);
		mallopt(M_TRIM_THRESHOLD, 64 << 20);
		if (void *room = malloc(kRoom)) {
			explicit_bzero(room, kRoom);
			free(room);
		}
	}
	KeptHeap(const KeptHeap &) = delete;
	KeptHeap &operator=(const KeptHeap &) = delete;
	~KeptHeap()
	{
		mallopt(M_MMAP_THRESHOLD, kLargeBlock);
		mallopt(M_TRIM_THRESHOLD, 128 << 10); // that of the C library
		malloc_trim(0);
	}

private:
	static constexpr size_t kRoom = 2 << 20;
};

} // namespace bpfckpt
