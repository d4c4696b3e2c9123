/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Small numbers, mostly in a row, as ids and descriptors are: there may be thousands, and a node of a hash table for
// each costs more than all that is asked of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace bpfckpt {

class IdSet {
public:
	explicit IdSet(size_t expected = 0) : low_(kPerId * (expected + 1)) {}

	// Whether it is new.
	bool insert(uint32_t id)
	{
		if (id >= low_.size())
			return others_.insert(id).second;
		bool is_new = !low_[id];
		low_[id] = true;
		return is_new;
	}
	void erase(uint32_t id)
	{
		if (id >= low_.size())
			others_.erase(id);
		else
			low_[id] = false;
	}
	[[nodiscard]] bool contains(uint32_t id) const { return id < low_.size() ? low_[id] : others_.contains(id); }

private:
	static constexpr size_t kPerId = 8; // what is kept as a bit takes a byte for each that is expected

	std::vector<bool> low_;
	std::unordered_set<uint32_t> others_;
};

} // namespace bpfckpt
