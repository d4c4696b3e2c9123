// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/id_set.h"

#include <gtest/gtest.h>

namespace bpfckpt {

TEST(IdSetTest, holds_numbers_in_a_row_and_far_away)
{
	for (size_t expected : {0, 1, 1000}) {
		IdSet ids(expected);
		for (uint32_t id : {0U, 1U, 7U, 8U, 8007U, 8008U, 1U << 31, UINT32_MAX}) {
			EXPECT_FALSE(ids.contains(id)) << id;
			EXPECT_TRUE(ids.insert(id)) << id;
			EXPECT_FALSE(ids.insert(id)) << id;
			EXPECT_TRUE(ids.contains(id)) << id;
			ids.erase(id);
			EXPECT_FALSE(ids.contains(id)) << id;
			EXPECT_TRUE(ids.insert(id)) << id;
		}
		EXPECT_FALSE(ids.contains(2));
	}
}

} // namespace bpfckpt
