// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/packed_xstate.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace bpfckpt::target {

using Bytes = std::vector<std::byte>;

static Bytes without_zeroes_at_end(Bytes bytes)
{
	while (bytes.size() > 576 && bytes.back() == std::byte{0})
		bytes.pop_back();
	bytes.resize((bytes.size() + 7) / 8 * 8);
	return bytes;
}

static PackedXstate keep(XstateArena &arena, const Bytes &bytes)
{
	std::ranges::copy(bytes, arena.scratch().begin());
	return arena.keep(bytes.size()).value();
}

TEST(PackedXstateTest, gives_back_what_it_was_given)
{
	XstateArena arena;
	ASSERT_TRUE(arena.reserve(1));
	std::mt19937 random(1);
	std::vector<std::pair<Bytes, PackedXstate>> kept;
	// More than was reserved, and each with the bytes of the one before in the scratch room.
	for (size_t i = 0; i < 200; i++) {
		size_t size = i % 2 ? arena.scratch().size() : arena.scratch().size() - 56;
		Bytes bytes(size);
		for (size_t set = 0; set < i; set++)
			bytes[random() % size] = static_cast<std::byte>(random());
		kept.emplace_back(bytes, keep(arena, bytes));
	}
	for (const auto &[bytes, packed] : kept) {
		EXPECT_EQ(packed.size(), bytes.size());
		EXPECT_EQ(packed.unpack(), without_zeroes_at_end(bytes));
	}
}

TEST(PackedXstateTest, of_no_registers_nothing_is_there)
{
	EXPECT_EQ(PackedXstate().size(), 0u);
	EXPECT_TRUE(PackedXstate().unpack().empty());
}

} // namespace bpfckpt::target
