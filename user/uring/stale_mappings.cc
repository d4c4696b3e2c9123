// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/stale_mappings.h"

#include <unordered_map>

#include <linux/io_uring.h>

#include "user/uring/page_map_window.h"
#include "user/util/page.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::uring {

namespace {

constexpr uint64_t kVmShared = 0x8;               // VM_SHARED (include/linux/mm.h)
constexpr uint64_t kFrameMask = (1ULL << 55) - 1; // Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kPresent = 1ULL << 63;

// struct page of the first page that a mapping has if it is of the present queues; 0: it is of something else.
uint64_t first_page(const uring_ring_record &ring, uint64_t offset)
{
	if (offset == IORING_OFF_SQ_RING || offset == IORING_OFF_CQ_RING)
		return ring.queues_page;
	return offset == IORING_OFF_SQES ? ring.sqes_page : 0;
}

StaleMapping pages_of(const iterators::AddressSpace &space, const vma_record &vma, const iterators::PageFrames &frames,
		      PageMapWindow &map)
{
	StaleMapping mapping = {space.mm->mm, vma.start, {}};
	for (uint64_t page = vma.start / kPageSize; page < vma.end / kPageSize && map.entry(page) & kPresent; page++)
		mapping.pages.push_back(frames.page_of(map.entry(page) & kFrameMask));
	return mapping;
}

} // namespace

std::vector<StaleMapping> stale_mappings(const iterators::UringRecords &records, const iterators::PageFrames &frames,
					 std::span<const iterators::AddressSpace> spaces, const RingOfFile &ring_of)
{
	std::unordered_map<uint64_t, const uring_ring_record *> rings;
	for (const uring_ring_record &ring : records.rings)
		if (ring.flags & IORING_SETUP_DEFER_TASKRUN && !(ring.flags & kSetupNoMmap))
			rings.emplace(ring.ring, &ring);
	std::vector<StaleMapping> stale;
	for (const iterators::AddressSpace &space : spaces) {
		if (rings.empty() || !space.mm)
			continue;
		PageMapWindow map(static_cast<unsigned>(space.tid));
		for (const vma_record &vma : space.vmas) {
			if (!(vma.flags & kVmShared))
				continue; // what it has written are pages of its own
			auto ring = vma.file ? rings.find(ring_of(vma.file)) : rings.end();
			uint64_t page = ring == rings.end() ? 0 : first_page(*ring->second, vma.pgoff * kPageSize);
			uint64_t entry = page ? map.entry(vma.start / kPageSize) : 0;
			if (entry & kPresent && (entry & kFrameMask) != frames.frame_of(page))
				stale.push_back(pages_of(space, vma, frames, map));
		}
	}
	return stale;
}

} // namespace bpfckpt::uring
