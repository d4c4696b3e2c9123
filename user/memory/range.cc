// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/range.h"

#include <algorithm>

namespace bpfckpt::memory {

std::vector<Range> intersect(std::span<const Range> left, std::span<const Range> right)
{
	std::vector<Range> result;
	while (!left.empty() && !right.empty()) {
		Range common = {std::max(left[0].start, right[0].start), std::min(left[0].end, right[0].end)};
		if (!common.empty())
			result.push_back(common);
		if (left[0].end < right[0].end)
			left = left.subspan(1);
		else
			right = right.subspan(1);
	}
	return result;
}

uint64_t total_size(std::span<const Range> ranges)
{
	uint64_t total = 0;
	for (const Range &range : ranges)
		total += range.size();
	return total;
}

} // namespace bpfckpt::memory
