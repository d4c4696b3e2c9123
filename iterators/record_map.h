/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// RecordMap<Record>: user-space view of a RECORD_MAP (bpf/records.bpf.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <bpf/libbpf.h>

#include "user/util/mapping.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

template <class Record>
class RecordMap {
public:
	// After the load. `count` is the counter in the object's .bss; it must outlive the RecordMap.
	static Result<RecordMap> create(const bpf_map *map, uint32_t *count)
	{
		RecordMap result;
		result.capacity_ = bpf_map__max_entries(map);
		result.count_ = count;
		// Array elements lie at multiples of 8 bytes (kernel/bpf/arraymap.c: array_map_alloc()).
		static_assert(sizeof(Record) % 8 == 0);
		size_t page = 4096;
		size_t size = (result.capacity_ * sizeof(Record) + page - 1) / page * page;
		result.mapping_ = TRY(Mapping::create(size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map)));
		return result;
	}

	void clear() { *count_ = 0; }
	[[nodiscard]] std::span<const Record> records() const
	{
		return {static_cast<const Record *>(mapping_.data()), std::min(*count_, capacity_)};
	}
	[[nodiscard]] std::span<Record> changeable()
	{
		return {static_cast<Record *>(mapping_.data()), std::min(*count_, capacity_)};
	}
	// Only the first ones are left.
	void cut(uint32_t count) { *count_ = count; }
	// Records that a round produced, also those that found no room: the capacity that the next round needs.
	[[nodiscard]] uint32_t needed() const { return *count_; }
	// The same with some room, where there was not enough; what was enough stays as it is.
	[[nodiscard]] uint32_t wanted() const { return overflowed() ? *count_ + *count_ / 8 : capacity_; }
	[[nodiscard]] bool overflowed() const { return *count_ > capacity_; }
	[[nodiscard]] uint32_t capacity() const { return capacity_; }

private:
	Mapping mapping_;
	uint32_t *count_ = nullptr;
	uint32_t capacity_ = 0;
};

} // namespace bpfckpt::iterators
