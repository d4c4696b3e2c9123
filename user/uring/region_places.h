/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Where memory lies that a ring has taken from its program: its queues (IORING_SETUP_NO_MMAP), rings of provided
// buffers. The kernel keeps the pages (struct io_mapped_region), not the address. The first page tells which page of
// its mapping it is, as for the reverse map (mm/internal.h: vma_address()), and the page maps tell whether that is so.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "iterators/page_frames.h"
#include "iterators/uring_reader.h"
#include "iterators/vma_reader.h"

namespace bpfckpt::uring {

struct RegionPlace {
	uint64_t mm = 0; // struct mm_struct
	uint64_t address = 0;
};

// By owner (struct io_ring_ctx, io_buffer_list) and kind. One that no process has mapped as a whole is missing.
using RegionPlaces = std::map<std::pair<uint64_t, uint32_t>, RegionPlace>;

// Gives the struct mm_struct of a thread; 0: it has none.
using MemoryOf = std::function<uint64_t(uint32_t tid)>;

// Reads page maps, so it belongs into the freeze. Where several processes have a region, it is told of the one that
// submits to the ring.
RegionPlaces place_regions(const iterators::UringRecords &records, const iterators::PageFrames &frames,
			   std::span<const iterators::AddressSpace> spaces, const MemoryOf &memory_of);

} // namespace bpfckpt::uring
