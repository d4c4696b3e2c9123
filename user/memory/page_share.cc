// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_share.h"

#include <algorithm>

namespace bpfckpt::memory {

static constexpr size_t kEntries = 8192;

Result<std::vector<Range>> shared_frames(PageMap &left, PageMap &right, std::span<const Range> candidates)
{
	std::vector<Range> shared;
	std::vector<uint64_t> ours(kEntries);
	std::vector<uint64_t> theirs(kEntries);
	for (Range range : candidates) {
		while (!range.empty()) {
			size_t count = std::min<uint64_t>(range.size() / kPageSize, kEntries);
			TRY(left.read_entries(range.start, std::span(ours).first(count)));
			TRY(right.read_entries(range.start, std::span(theirs).first(count)));
			for (size_t i = 0; i < count; i++, range.start += kPageSize)
				if (is_same_frame(ours[i], theirs[i]))
					append(shared, {range.start, range.start + kPageSize});
		}
	}
	return shared;
}

Result<std::vector<Range>> frames_with_others(PageMap &map, std::span<const Range> pages)
{
	std::vector<Range> result;
	std::vector<uint64_t> entries(kEntries);
	for (Range range : pages) {
		while (!range.empty()) {
			size_t count = std::min<uint64_t>(range.size() / kPageSize, kEntries);
			TRY(map.read_entries(range.start, std::span(entries).first(count)));
			for (size_t i = 0; i < count; i++, range.start += kPageSize)
				if (!is_exclusive(entries[i]))
					append(result, {range.start, range.start + kPageSize});
		}
	}
	return result;
}

} // namespace bpfckpt::memory
