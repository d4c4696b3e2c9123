// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/buffer_pages.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "user/uring/page_map_window.h"

namespace bpfckpt::uring {

namespace {

constexpr uint64_t kPage = 4096;
// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kFrameMask = (1ULL << 55) - 1;
constexpr uint64_t kPresent = 1ULL << 63;

// By struct io_mapped_ubuf. That of a buffer in two slots comes twice: the first one is taken.
std::unordered_map<uint64_t, std::vector<uring_bvec>> pinned_pages(std::span<const uring_bvecs_record> records)
{
	std::unordered_map<uint64_t, std::vector<uring_bvec>> pages;
	for (const uring_bvecs_record &record : records) {
		std::vector<uring_bvec> &bvecs = pages[record.imu];
		if (record.first == bvecs.size())
			bvecs.insert(bvecs.end(), record.bvec,
				     record.bvec + std::min<uint32_t>(record.count, URING_BVEC_CHUNK));
	}
	return pages;
}

} // namespace

bool pages_match(uint64_t address, std::span<const uring_bvec> bvecs, const iterators::PageFrames &frames,
		 const PageEntry &entry_of)
{
	for (const uring_bvec &bvec : bvecs) {
		if (address % kPage != bvec.offset % kPage)
			return false;
		uint64_t frame = frames.frame_of(bvec.page) + bvec.offset / kPage;
		uint64_t end = address + bvec.length;
		for (uint64_t page = address / kPage; page * kPage < end; page++, frame++) {
			uint64_t entry = entry_of(page);
			if (!(entry & kPresent) || (entry & kFrameMask) != frame)
				return false;
		}
		address = end;
	}
	return !bvecs.empty();
}

BufferPages compare_buffers(const iterators::UringRecords &records, const iterators::PageFrames *frames,
			    std::span<const unsigned> pids)
{
	BufferPages result;
	result.compared = frames != nullptr;
	if (!frames)
		return result;
	auto pages = pinned_pages(records.bvecs);
	std::unordered_map<uint64_t, std::vector<unsigned>> users;
	for (const uring_attachment_record &record : records.attachments)
		users[record.ring].push_back(record.tid);
	std::unordered_map<unsigned, PageMapWindow> maps;
	for (const uring_buffer_record &buffer : records.buffers) {
		auto bvecs = pages.find(buffer.imu);
		if (buffer.kernel_buffer || bvecs == pages.end())
			continue;
		auto is_in = [&](unsigned tid) {
			PageMapWindow &map = maps.try_emplace(tid, tid).first->second;
			return pages_match(buffer.address, bvecs->second, *frames,
					   [&](uint64_t page) { return map.entry(page); });
		};
		if (!std::ranges::any_of(users[buffer.ring], is_in) && !std::ranges::any_of(pids, is_in))
			result.differing.insert(buffer.imu);
	}
	return result;
}

} // namespace bpfckpt::uring
