/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// AddressSet: kernel addresses seen so far. Open addressing in one array that keeps its memory, because it is filled
// inside the freeze, where a node per address would cost more than reading the object.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bpfckpt::iterators {

class AddressSet {
public:
	// Room for `count` addresses without growing.
	void reserve(size_t count)
	{
		if (2 * count > slots_.size())
			rehash(std::bit_ceil(2 * count));
	}
	// Whether it is new. Never NULL.
	bool insert(uint64_t address)
	{
		reserve(count_ + 1);
		uint64_t &slot = *find(address);
		bool is_new = slot == 0;
		slot = address;
		count_ += is_new;
		return is_new;
	}
	[[nodiscard]] bool contains(uint64_t address) { return count_ && *find(address) != 0; }
	void clear()
	{
		std::ranges::fill(slots_, 0);
		count_ = 0;
	}

private:
	// Its own slot, or the free one where it belongs.
	uint64_t *find(uint64_t address)
	{
		size_t mask = slots_.size() - 1;
		// Objects of one slab differ in the middle bits.
		size_t i = (address * 0x9e3779b97f4a7c15) >> 32;
		while (slots_[i & mask] != 0 && slots_[i & mask] != address)
			i++;
		return &slots_[i & mask];
	}
	void rehash(size_t size)
	{
		std::vector<uint64_t> old(size);
		old.swap(slots_);
		for (uint64_t address : old)
			if (address)
				*find(address) = address;
	}

	std::vector<uint64_t> slots_;
	size_t count_ = 0;
};

} // namespace bpfckpt::iterators
