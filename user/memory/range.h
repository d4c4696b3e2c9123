/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Half-open ranges of addresses or bytes, sorted and disjoint where they come in lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "user/util/page.h"

namespace bpfckpt::memory {

struct Range {
	uint64_t start = 0;
	uint64_t end = 0;

	[[nodiscard]] uint64_t size() const { return end - start; }
	[[nodiscard]] bool empty() const { return start >= end; }
	friend bool operator==(const Range &, const Range &) = default;
};

[[nodiscard]] constexpr uint64_t page_up(uint64_t value)
{
	return (value + kPageSize - 1) & ~(kPageSize - 1);
}

// Appends, or extends the last one if `range` begins where it ends.
inline void append(std::vector<Range> &ranges, Range range)
{
	if (range.empty())
		return;
	if (!ranges.empty() && ranges.back().end == range.start)
		ranges.back().end = range.end;
	else
		ranges.push_back(range);
}

// What two sorted lists have in common.
[[nodiscard]] std::vector<Range> intersect(std::span<const Range> left, std::span<const Range> right);

// What the first list has and the second has not.
[[nodiscard]] std::vector<Range> subtract(std::span<const Range> from, std::span<const Range> what);
// What any of the two lists has.
[[nodiscard]] std::vector<Range> unite(std::span<const Range> left, std::span<const Range> right);

[[nodiscard]] uint64_t total_size(std::span<const Range> ranges);

} // namespace bpfckpt::memory
