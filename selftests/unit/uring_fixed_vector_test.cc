// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/fixed_vector.h"

#include <gtest/gtest.h>

namespace bpfckpt::uring {

namespace {

constexpr uint64_t kBuffer = 0x10100;

// Two pages, of which the first is there in part, and a piece of a large folio.
constexpr uring_bvec kPages[] = {
	{.page = 10, .length = 0xf00, .offset = 0x100},
	{.page = 20, .length = 0x1000, .offset = 0},
	{.page = 30, .length = 0x200000, .offset = 0},
};

void expect_iovecs(const std::vector<uring_bvec> &parts, std::vector<std::pair<uint64_t, uint64_t>> expected)
{
	auto iovecs = BufferPlaces(kBuffer, kPages).iovecs_of(parts);
	ASSERT_EQ(iovecs.size(), expected.size());
	for (size_t i = 0; i < iovecs.size(); i++) {
		EXPECT_EQ(iovecs[i].address(), expected[i].first) << i;
		EXPECT_EQ(iovecs[i].length(), expected[i].second) << i;
	}
}

} // namespace

TEST(UringFixedVector, parts_are_where_their_pages_are)
{
	expect_iovecs({}, {});
	expect_iovecs({{.page = 30, .length = 5, .offset = 0x3000}, {.page = 10, .length = 4, .offset = 0x108}},
		      {{0x12000 + 0x3000, 5}, {0x10108, 4}});
}

TEST(UringFixedVector, neighbours_are_one)
{
	expect_iovecs({{.page = 10, .length = 8, .offset = 0xff8},
		       {.page = 20, .length = 0x1000, .offset = 0},
		       {.page = 30, .length = 1, .offset = 0},
		       {.page = 30, .length = 1, .offset = 2}},
		      {{0x10ff8, 0x1009}, {0x12002, 1}});
}

TEST(UringFixedVector, what_is_not_of_the_buffer_is_nowhere)
{
	expect_iovecs({{.page = 11, .length = 1, .offset = 0}}, {});
	expect_iovecs({{.page = 10, .length = 1, .offset = 0xff}}, {});
	expect_iovecs({{.page = 20, .length = 2, .offset = 0xfff}}, {});
	expect_iovecs({{.page = 20, .length = 0, .offset = 0}}, {});
	expect_iovecs({{.page = 20, .length = 1, .offset = 0}, {.page = 11, .length = 1, .offset = 0}}, {});
}

} // namespace bpfckpt::uring
