/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Mappings of the queues that a ring had before IORING_REGISTER_RESIZE_RINGS. They stay, as memory that no ring has any
// more, and look like those of the present queues: only their pages are others (io_uring/register.c:
// io_register_resize_rings()).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "iterators/page_frames.h"
#include "iterators/uring_reader.h"
#include "iterators/vma_reader.h"

namespace bpfckpt::uring {

struct StaleMapping {
	uint64_t mm = 0; // struct mm_struct
	uint64_t start = 0;
	std::vector<uint64_t> pages; // struct page, from its beginning; the first one tells which object it is
};

// Gives the struct io_ring_ctx of a struct file; 0: it is no ring.
using RingOfFile = std::function<uint64_t(uint64_t file)>;

// Reads page maps, so it belongs into the freeze.
std::vector<StaleMapping> stale_mappings(const iterators::UringRecords &records, const iterators::PageFrames &frames,
					 std::span<const iterators::AddressSpace> spaces, const RingOfFile &ring_of);

} // namespace bpfckpt::uring
