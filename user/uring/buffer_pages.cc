// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/buffer_pages.h"

#include <algorithm>
#include <unordered_set>

#include "user/uring/page_map_window.h"
#include "user/util/page.h"

namespace bpfckpt::uring {

namespace {

// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kFrameMask = (1ULL << 55) - 1;
constexpr uint64_t kPresent = 1ULL << 63;

// The bvecs of a buffer, where they are if they are in one record.
class Pinned {
public:
	void add(const uring_bvecs_record &record)
	{
		std::span<const uring_bvec> more(record.bvec, std::min<uint32_t>(record.count, URING_BVEC_CHUNK));
		if (record.first != bvecs().size())
			return; // that of a buffer in two slots comes twice: the first one is taken
		if (record.first == 0) {
			first_ = more;
			return;
		}
		if (all_.empty())
			all_.assign(first_.begin(), first_.end());
		all_.insert(all_.end(), more.begin(), more.end());
	}
	[[nodiscard]] std::span<const uring_bvec> bvecs() const { return all_.empty() ? first_ : all_; }

private:
	std::span<const uring_bvec> first_;
	std::vector<uring_bvec> all_;
};

using PinnedPages = std::unordered_map<uint64_t, Pinned>; // by struct io_mapped_ubuf

PinnedPages pinned_pages(std::span<const uring_bvecs_record> records)
{
	PinnedPages pages;
	pages.reserve(records.size());
	for (const uring_bvecs_record &record : records)
		pages[record.imu].add(record);
	return pages;
}

// Calls visit(number of the page by its address, number of the frame) for each page, until that says no.
template <class Visit>
bool visit_pages(uint64_t address, std::span<const uring_bvec> bvecs, const iterators::PageFrames &frames, Visit visit)
{
	for (const uring_bvec &bvec : bvecs) {
		uint64_t frame = frames.frame_of(bvec.page) + bvec.offset / kPageSize;
		uint64_t end = address + bvec.length;
		for (uint64_t page = address / kPageSize; page * kPageSize < end; page++, frame++)
			if (!visit(page, frame))
				return false;
		address = end;
	}
	return true;
}

bool is_frame(uint64_t entry, uint64_t frame)
{
	return entry & kPresent && (entry & kFrameMask) == frame;
}

// Page maps of address spaces, each opened once.
class PageMaps {
public:
	PageMapWindow &of(const iterators::AddressSpace &space)
	{
		return maps_.try_emplace(space.mm->mm, static_cast<unsigned>(space.tid)).first->second;
	}
	uint64_t entry(const iterators::AddressSpace &space, uint64_t page) { return of(space).entry(page); }

private:
	std::unordered_map<uint64_t, PageMapWindow> maps_;
};

class Comparison {
public:
	Comparison(const iterators::UringRecords &records, const iterators::PageFrames &frames,
		   std::span<const iterators::AddressSpace> spaces, const MemoryOf &memory_of)
		: pinned_(pinned_pages(records.bvecs)), frames_(frames), spaces_(spaces)
	{
		for (const uring_attachment_record &record : records.attachments)
			users_[record.ring].insert(memory_of(record.tid));
	}
	void place(const uring_buffer_record &buffer, BufferPages &result);

private:
	using Order = std::vector<const iterators::AddressSpace *>;
	const Order &order_for(uint64_t ring);

	PinnedPages pinned_;
	const iterators::PageFrames &frames_;
	std::span<const iterators::AddressSpace> spaces_;
	std::unordered_map<uint64_t, std::unordered_set<uint64_t>> users_; // struct mm_struct, by ring
	std::unordered_map<uint64_t, Order> orders_;                       // by ring
	PageMaps maps_;
};

const Comparison::Order &Comparison::order_for(uint64_t ring)
{
	auto [known, added] = orders_.try_emplace(ring);
	Order &order = known->second;
	if (!added)
		return order;
	for (const iterators::AddressSpace &space : spaces_)
		if (space.mm)
			order.push_back(&space);
	if (auto users = users_.find(ring); users != users_.end())
		std::ranges::stable_partition(order,
					      [&](const auto *space) { return users->second.contains(space->mm->mm); });
	return order;
}

void Comparison::place(const uring_buffer_record &buffer, BufferPages &result)
{
	auto pinned = pinned_.find(buffer.imu);
	if (buffer.kernel_buffer || pinned == pinned_.end())
		return;
	auto [place, added] = result.places.try_emplace(buffer.imu);
	if (!added)
		return;
	std::span<const uring_bvec> bvecs = pinned->second.bvecs();
	const Order &order = order_for(buffer.ring);
	// Most are where they were, in the memory of the ring's own thread: then nothing is listed.
	if (!bvecs.empty() && !order.empty()) {
		PageMapWindow &map = maps_.of(*order.front());
		if (visit_pages(buffer.address, bvecs, frames_,
				[&](uint64_t page, uint64_t frame) { return is_frame(map.entry(page), frame); })) {
			place->second.mm = order.front()->mm->mm;
			return;
		}
	}
	BufferPlace &best = place->second;
	visit_pages(buffer.address, bvecs, frames_, [&](uint64_t page, uint64_t frame) {
		best.elsewhere.push_back({.address = page * kPageSize, .page = frames_.page_of(frame)});
		return true;
	});
	for (const iterators::AddressSpace *space : order) {
		std::vector<PinnedPage> elsewhere = pages_elsewhere(
			buffer.address, bvecs, frames_, [&](uint64_t page) { return maps_.entry(*space, page); });
		if (elsewhere.size() < best.elsewhere.size())
			best = {space->mm->mm, std::move(elsewhere)};
		if (best.elsewhere.empty())
			break;
	}
}

// Where the reverse map would find a page (mm/internal.h: vma_address()), at best in the process that has the others of
// its buffer.
void find_page(PinnedPage &pinned, const page_record &record, const iterators::PageFrames &frames, uint64_t preferred,
	       MappingIndex &index, PageMaps &maps)
{
	pinned.inode = record.inode;
	pinned.offset = record.inode ? record.index * kPageSize : 0;
	pinned.unsought = record.other;
	if (record.inode || record.other)
		return;
	bool whole = index.search(record.index, [&](const iterators::AddressSpace &space, uint64_t address) {
		if (!is_frame(maps.entry(space, address / kPageSize), frames.frame_of(pinned.page)))
			return false;
		if (!pinned.mm || space.mm->mm == preferred) {
			pinned.mm = space.mm->mm;
			pinned.moved_to = address;
		}
		return pinned.mm == preferred;
	});
	pinned.unsought = !whole && !pinned.mm;
}

} // namespace

std::vector<PinnedPage> pages_elsewhere(uint64_t address, std::span<const uring_bvec> bvecs,
					const iterators::PageFrames &frames, const PageEntry &entry_of)
{
	std::vector<PinnedPage> elsewhere;
	visit_pages(address, bvecs, frames, [&](uint64_t page, uint64_t frame) {
		if (!is_frame(entry_of(page), frame))
			elsewhere.push_back({.address = page * kPageSize, .page = frames.page_of(frame)});
		return true;
	});
	return elsewhere;
}

bool pages_match(uint64_t address, std::span<const uring_bvec> bvecs, const iterators::PageFrames &frames,
		 const PageEntry &entry_of)
{
	uint64_t at = address;
	for (const uring_bvec &bvec : bvecs) {
		if (at % kPageSize != bvec.offset % kPageSize)
			return false;
		at += bvec.length;
	}
	return !bvecs.empty() && visit_pages(address, bvecs, frames, [&](uint64_t page, uint64_t frame) {
		return is_frame(entry_of(page), frame);
	});
}

bool BufferPages::all_in_place() const
{
	return std::ranges::all_of(places, [](const auto &entry) { return entry.second.elsewhere.empty(); });
}

BufferPages compare_buffers(const iterators::UringRecords &records, const iterators::PageFrames *frames,
			    std::span<const iterators::AddressSpace> spaces, const MemoryOf &memory_of)
{
	BufferPages result;
	result.compared = frames != nullptr;
	if (!frames)
		return result;
	result.places.reserve(records.buffers.size());
	Comparison comparison(records, *frames, spaces, memory_of);
	for (const uring_buffer_record &buffer : records.buffers)
		comparison.place(buffer, result);
	return result;
}

MappingIndex::MappingIndex(std::span<const iterators::AddressSpace> spaces)
{
	for (const iterators::AddressSpace &space : spaces)
		for (const vma_record &vma : space.vmas)
			if (space.mm)
				places_.push_back({.first = vma.pgoff,
						   .end = vma.pgoff + (vma.end - vma.start) / kPageSize,
						   .furthest = 0,
						   .address = vma.start,
						   .space = &space});
	std::ranges::stable_sort(places_, {}, &Place::first);
	uint64_t furthest = 0;
	for (Place &place : places_)
		place.furthest = furthest = std::max(furthest, place.end);
}

bool MappingIndex::search(uint64_t index, const std::function<bool(const iterators::AddressSpace &, uint64_t)> &visit)
{
	auto place = std::ranges::upper_bound(places_, index, {}, &Place::first);
	while (place != places_.begin()) {
		--place;
		if (place->furthest <= index)
			break;
		if (++steps_ > kMostSteps)
			return false;
		if (place->end > index && visit(*place->space, place->address + (index - place->first) * kPageSize))
			return true;
	}
	return true;
}

Result<> find_pages(BufferPages &buffers, iterators::PageReader &reader, const iterators::PageFrames &frames,
		    std::span<const iterators::AddressSpace> spaces)
{
	std::vector<std::pair<PinnedPage *, uint64_t>> pages; // and the struct mm_struct that has its buffer
	std::vector<uint64_t> addresses;
	for (auto &[imu, place] : buffers.places)
		for (PinnedPage &page : place.elsewhere) {
			pages.emplace_back(&page, place.mm);
			addresses.push_back(page.page);
		}
	std::vector<page_record> records = TRY(reader.describe(addresses));
	MappingIndex index(spaces);
	PageMaps maps;
	for (size_t i = 0; i < pages.size(); i++)
		find_page(*pages[i].first, records[i], frames, pages[i].second, index, maps);
	return {};
}

} // namespace bpfckpt::uring
