// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/region_places.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "user/uring/buffer_pages.h"
#include "user/uring/page_map_window.h"
#include "user/util/page.h"

namespace bpfckpt::uring {

namespace {

struct Region {
	uint64_t ring = 0;
	uint64_t first_index = 0;
	std::vector<uring_bvec> pages;
};

std::map<std::pair<uint64_t, uint32_t>, Region> put_together(std::span<const uring_region_record> records)
{
	std::map<std::pair<uint64_t, uint32_t>, Region> regions;
	for (const uring_region_record &record : records) {
		Region &region = regions[{record.owner, record.region}];
		if (record.first != region.pages.size())
			continue;
		region.ring = record.ring;
		region.first_index = record.first_index;
		for (uint32_t i = 0; i < std::min<uint32_t>(record.count, URING_REGION_CHUNK); i++)
			region.pages.push_back({record.page[i], kPageSize, 0});
	}
	return regions;
}

// 0: it is not mapped there as a whole.
uint64_t address_in(const iterators::AddressSpace &space, const Region &region, const iterators::PageFrames &frames,
		    PageMapWindow &map)
{
	for (const vma_record &vma : space.vmas) {
		uint64_t page = region.first_index - vma.pgoff;
		if (page >= (vma.end - vma.start) / kPageSize)
			continue;
		uint64_t address = vma.start + page * kPageSize;
		if (pages_match(address, region.pages, frames, [&](uint64_t number) { return map.entry(number); }))
			return address;
	}
	return 0;
}

} // namespace

// Each has a window of 32 KiB; rings in a row are mostly of a few processes.
constexpr size_t kMostMaps = 64;

RegionPlaces place_regions(const iterators::UringRecords &records, const iterators::PageFrames &frames,
			   std::span<const iterators::AddressSpace> spaces, const MemoryOf &memory_of)
{
	std::unordered_map<uint64_t, uint64_t> preferred; // struct mm_struct, by ring
	for (const uring_attachment_record &record : records.attachments)
		preferred.try_emplace(record.ring, memory_of(record.tid));
	for (const uring_ring_record &record : records.rings)
		if (record.submitter_tid)
			preferred[record.ring] = memory_of(record.submitter_tid);
	std::unordered_map<uint64_t, PageMapWindow> maps;
	RegionPlaces places;
	for (const auto &[key, region] : put_together(records.regions)) {
		std::vector<const iterators::AddressSpace *> order;
		for (const iterators::AddressSpace &space : spaces)
			if (space.mm)
				order.push_back(&space);
		std::ranges::stable_partition(
			order, [mm = preferred[region.ring]](const auto *space) { return space->mm->mm == mm; });
		for (const iterators::AddressSpace *space : order) {
			if (maps.size() >= kMostMaps)
				maps.clear();
			PageMapWindow &map =
				maps.try_emplace(space->mm->mm, static_cast<unsigned>(space->tid)).first->second;
			if (uint64_t address = address_in(*space, region, frames, map)) {
				places[key] = {space->mm->mm, address};
				break;
			}
		}
	}
	return places;
}

} // namespace bpfckpt::uring
