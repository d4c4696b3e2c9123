/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Whether the pages that a registered buffer has pinned (struct io_mapped_ubuf, io_uring/rsrc.c) are still those that
// are mapped at its address. They part when the program unmaps or discards the memory, or when a copy on write gives
// it another page: a fixed read or write then goes to memory that the program does not see.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>

#include "iterators/page_frames.h"
#include "iterators/uring_reader.h"

namespace bpfckpt::uring {

// Which struct io_mapped_ubuf have other pages.
struct BufferPages {
	std::unordered_set<uint64_t> differing;
	bool compared = true; // false: nothing is known of any
};

// Reads the page maps of the processes, so it belongs into the freeze. A buffer is that of the threads that use its
// ring, or of any of `pids` when those have left. `frames` may be null.
BufferPages compare_buffers(const iterators::UringRecords &records, const iterators::PageFrames *frames,
			    std::span<const unsigned> pids);

// Gives the entry of /proc/PID/pagemap for a page by its number; 0 where there is none.
using PageEntry = std::function<uint64_t(uint64_t page)>;
bool pages_match(uint64_t address, std::span<const uring_bvec> bvecs, const iterators::PageFrames &frames,
		 const PageEntry &entry_of);

} // namespace bpfckpt::uring
