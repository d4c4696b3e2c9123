/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Differences and sums of times that stay in [-INT64_MAX, INT64_MAX], as the kernel's own do (ktime_add_safe()): a
// program may set a time as far off as it likes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bpfckpt {

constexpr int64_t saturating_add(int64_t one, int64_t other)
{
	int64_t sum = 0;
	if (__builtin_add_overflow(one, other, &sum))
		return one < 0 ? -INT64_MAX : INT64_MAX;
	return std::max(sum, -INT64_MAX);
}

constexpr int64_t saturating_sub(int64_t one, int64_t other)
{
	int64_t difference = 0;
	if (__builtin_sub_overflow(one, other, &difference))
		return one < 0 ? -INT64_MAX : INT64_MAX;
	return std::max(difference, -INT64_MAX);
}

} // namespace bpfckpt
