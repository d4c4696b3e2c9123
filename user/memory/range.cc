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

std::vector<Range> subtract(std::span<const Range> from, std::span<const Range> what)
{
	std::vector<Range> result;
	for (Range range : from) {
		while (!what.empty() && what[0].end <= range.start)
			what = what.subspan(1);
		for (const Range &hole : what) {
			if (hole.start >= range.end)
				break;
			append(result, {range.start, hole.start});
			range.start = std::max(range.start, std::min(hole.end, range.end));
		}
		append(result, range);
	}
	return result;
}

std::vector<Range> unite(std::span<const Range> left, std::span<const Range> right)
{
	std::vector<Range> result;
	while (!left.empty() || !right.empty()) {
		bool from_left = right.empty() || (!left.empty() && left[0].start <= right[0].start);
		std::span<const Range> &next = from_left ? left : right;
		if (result.empty() || next[0].start > result.back().end)
			result.push_back(next[0]);
		else
			result.back().end = std::max(result.back().end, next[0].end);
		next = next.subspan(1);
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
