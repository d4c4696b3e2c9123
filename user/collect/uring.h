/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// io_uring instances and their requests in flight: records to Document.rings.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "iterators/file_reader.h"
#include "iterators/kernel_layout.h"
#include "iterators/uring_reader.h"
#include "user/collect/context.h"
#include "user/collect/loose_pages.h"
#include "user/uring/buffer_pages.h"
#include "user/uring/region_places.h"
#include "user/uring/workers.h"

namespace bpfckpt::collect {

// What the capture found out of rings besides their records.
struct RingChecks {
	uring::BufferPages buffers;
	uring::RegionPlaces regions;
	LoosePages loose;
	uint64_t loose_offset = 0;                           // of the first in pages.img
	std::unordered_set<uint64_t> stuck;                  // struct io_ring_ctx: see uring::observe()
	std::unordered_map<uint64_t, std::string> functions; // names of the task work that is queued
	uring::IsDisk is_disk;                               // none: no request is
};

// Only where some work is queued: the symbols of the kernel are a long list. Without names (kptr_restrict) such
// requests are of unknown class, and say so.
std::unordered_map<uint64_t, std::string> queued_functions(std::span<const uring_request_record> requests);

// After the thaw, and after collect_files(), which gave ids to what UringReader named. `files` are all that were
// described: they tell the struct file of each ring and of its eventfd. State that a dump cannot carry over becomes a
// finding.
void collect_rings(const iterators::UringRecords &records, const iterators::KernelLayout &layout,
		   const iterators::FileRecords &files, const RingChecks &checks, Context &context);

} // namespace bpfckpt::collect
