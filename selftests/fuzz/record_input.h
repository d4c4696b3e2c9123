/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Any bytes as records of the BPF programs, and what must hold of the document that a collector makes of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "user/collect/context.h"

namespace bpfckpt::fuzz {

class Input {
public:
	Input(const uint8_t *data, size_t size) : bytes_(data, size) {}
	[[nodiscard]] bool empty() const { return bytes_.empty(); }
	// What is missing at the end is zero.
	template <class T>
	T take()
	{
		T value = {};
		take_bytes(reinterpret_cast<uint8_t *>(&value), sizeof(T));
		return value;
	}
	// A record of zeros but for a few places: most of a long record matters little.
	template <class Record>
	Record take_sparse()
	{
		Record record = {};
		auto *bytes = reinterpret_cast<uint8_t *>(&record);
		for (int edits = take<uint8_t>() % 16; edits > 0; edits--) {
			size_t place = take<uint16_t>() % sizeof(Record);
			size_t length = take<uint8_t>() % 8 + 1;
			take_bytes(bytes + place, std::min(length, sizeof(Record) - place));
		}
		return record;
	}

private:
	void take_bytes(uint8_t *to, size_t size)
	{
		size = std::min(size, bytes_.size());
		if (size)
			memcpy(to, bytes_.data(), size);
		bytes_ = bytes_.subspan(size);
	}

	std::span<const uint8_t> bytes_;
};

// Kernel addresses: NULL and seven that are all alike, so that records name each other and that one is known where it
// must not be.
inline constexpr uint64_t kAddresses = 0xffff9d37c0de0000;

template <class... Addresses>
void make_addresses(Addresses &...addresses)
{
	((addresses = addresses & 7 ? kAddresses | (addresses & 7) << 6 : 0), ...);
}

// Numbers of which few occur: PIDs, indices.
template <class... Numbers>
void cut_down(Numbers &...numbers)
{
	((numbers &= 7), ...);
}

// Aborts unless the ids are unique, the size is at most `size_limit`, and no kernel address is left. Then the view
// and whatever judges a document look at it; any other document is records_fuzz's.
void check_collected(collect::Context &context, size_t size_limit);

} // namespace bpfckpt::fuzz
