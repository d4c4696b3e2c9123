// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/buffer_pages.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "user/util/unique_fd.h"

namespace bpfckpt::uring {

namespace {

constexpr uint64_t kPage = 4096;
// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kFrameMask = (1ULL << 55) - 1;
constexpr uint64_t kPresent = 1ULL << 63;

// The address spaces to look in, each opened when it is first needed.
class PageMaps {
public:
	// Entries of the pages of [address, address + length); fewer if the mapping ends.
	std::span<const uint64_t> read(unsigned tid, uint64_t address, uint64_t length)
	{
		auto [it, is_new] = files_.try_emplace(tid);
		if (is_new)
			it->second =
				UniqueFd(::open(fmt::format("/proc/{}/pagemap", tid).c_str(), O_RDONLY | O_CLOEXEC));
		uint64_t first = address / kPage, end = (address + length + kPage - 1) / kPage;
		entries_.resize(end - first);
		auto offset = static_cast<off_t>(first * sizeof(uint64_t));
		ssize_t got = ::pread(it->second.get(), entries_.data(), entries_.size() * sizeof(uint64_t), offset);
		return std::span(entries_).first(got < 0 ? 0 : static_cast<size_t>(got) / sizeof(uint64_t));
	}

private:
	std::unordered_map<unsigned, UniqueFd> files_;
	std::vector<uint64_t> entries_;
};

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
		 std::span<const uint64_t> entries)
{
	uint64_t first = address / kPage;
	for (const uring_bvec &bvec : bvecs) {
		if (address % kPage != bvec.offset % kPage)
			return false;
		uint64_t frame = frames.frame_of(bvec.page) + bvec.offset / kPage;
		uint64_t end = address + bvec.length;
		for (uint64_t page = address / kPage; page * kPage < end; page++, frame++) {
			if (page - first >= entries.size())
				return false;
			uint64_t entry = entries[page - first];
			if (!(entry & kPresent) || (entry & kFrameMask) != frame)
				return false;
		}
		address = end;
	}
	return !bvecs.empty();
}

BufferPages compare_buffers(const iterators::UringReader &reader, const iterators::PageFrames *frames,
			    std::span<const unsigned> pids)
{
	BufferPages result;
	result.compared = frames != nullptr;
	if (!frames)
		return result;
	auto pages = pinned_pages(reader.bvecs());
	std::unordered_map<uint64_t, std::vector<unsigned>> users;
	for (const uring_attachment_record &record : reader.attachments())
		users[record.ring].push_back(record.tid);
	PageMaps maps;
	for (const uring_buffer_record &buffer : reader.buffers()) {
		auto bvecs = pages.find(buffer.imu);
		if (buffer.kernel_buffer || bvecs == pages.end())
			continue;
		auto is_in = [&](unsigned tid) {
			return pages_match(buffer.address, bvecs->second, *frames,
					   maps.read(tid, buffer.address, buffer.length));
		};
		if (!std::ranges::any_of(users[buffer.ring], is_in) && !std::ranges::any_of(pids, is_in))
			result.differing.insert(buffer.imu);
	}
	return result;
}

} // namespace bpfckpt::uring
