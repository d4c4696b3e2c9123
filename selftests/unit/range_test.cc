// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/range.h"

#include <gtest/gtest.h>

namespace bpfckpt::memory {

using Ranges = std::vector<Range>;

TEST(Range, append_joins_what_touches)
{
	Ranges ranges;
	append(ranges, {10, 20});
	append(ranges, {20, 30});
	append(ranges, {40, 40});
	append(ranges, {40, 50});
	EXPECT_EQ(ranges, (Ranges{{10, 30}, {40, 50}}));
	EXPECT_EQ(total_size(ranges), 30u);
}

TEST(Range, intersect_cuts_at_both_sides)
{
	Ranges left = {{0, 10}, {20, 30}, {40, 50}};
	Ranges right = {{5, 25}, {28, 45}, {50, 60}};
	EXPECT_EQ(intersect(left, right), (Ranges{{5, 10}, {20, 25}, {28, 30}, {40, 45}}));
	EXPECT_EQ(intersect(right, left), intersect(left, right));
	EXPECT_EQ(intersect(left, Ranges{}), Ranges{});
}

TEST(Range, page_up_keeps_whole_pages)
{
	EXPECT_EQ(page_up(0), 0u);
	EXPECT_EQ(page_up(1), kPageSize);
	EXPECT_EQ(page_up(kPageSize), kPageSize);
}

TEST(Range, subtract_leaves_what_is_not_taken)
{
	std::vector<Range> from = {{0, 10}, {20, 30}, {40, 50}};
	std::vector<Range> what = {{2, 3}, {5, 25}, {28, 29}, {40, 50}, {60, 70}};
	std::vector<Range> left = {{0, 2}, {3, 5}, {25, 28}, {29, 30}};
	EXPECT_EQ(subtract(from, what), left);
	EXPECT_EQ(subtract(from, {}), from);
	EXPECT_TRUE(subtract({}, what).empty());
}

TEST(Range, unite_merges_what_overlaps_or_touches)
{
	std::vector<Range> left = {{0, 10}, {20, 30}};
	std::vector<Range> right = {{5, 12}, {12, 14}, {30, 40}, {50, 60}};
	std::vector<Range> all = {{0, 14}, {20, 40}, {50, 60}};
	EXPECT_EQ(unite(left, right), all);
	EXPECT_EQ(unite(right, left), all);
}

} // namespace bpfckpt::memory
