// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/cores.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

namespace bpfckpt {

TEST(CoresTest, each_is_made_once)
{
	for (size_t count : {0, 1, 9, 10, 11, 1000}) {
		std::vector<std::atomic<int>> made(count);
		auto make = [&](size_t i) -> Result<> {
			made[i]++;
			return {};
		};
		EXPECT_TRUE(for_each_on_cores(count, 10, make));
		for (size_t i = 0; i < count; i++)
			EXPECT_EQ(made[i], 1) << i << " of " << count;
	}
}

TEST(CoresTest, an_error_is_returned_and_ends_it)
{
	std::atomic<size_t> made = 0;
	auto make = [&](size_t i) -> Result<> {
		made++;
		return i == 5 ? Result<>(make_error(Code::kLimit, "{}", i)) : Result<>();
	};
	Result<> result = for_each_on_cores(1 << 20, 10, make);
	ASSERT_FALSE(result);
	EXPECT_EQ(result.error().message, "5");
	EXPECT_LT(made, 1U << 20);
}

} // namespace bpfckpt
