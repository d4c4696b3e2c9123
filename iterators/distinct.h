/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Distinct<Record>: of records that equal others of a map, one is left. What a pass has added is gone through, moved
// together, and numbered, from 1, by the first that is alike.
#pragma once

#include <functional>
#include <string_view>
#include <unordered_set>

#include "iterators/record_map.h"

namespace bpfckpt::iterators {

// What has to be equal: all bytes. A record of which only a part counts has a function like this beside it, found by
// its argument.
template <class Record>
std::string_view what_counts(const Record &record)
{
	return {reinterpret_cast<const char *>(&record), sizeof(record)};
}

template <class Record>
class Distinct {
public:
	// The map must stay where it is.
	explicit Distinct(RecordMap<Record> &map) : map_(&map), known_(0, Hash{&map}, Same{&map}) {}

	void clear() { known_.clear(); }
	// The record at `index` stays where it is.
	void know(uint32_t index) { known_.insert(index); }
	// Moves the record at `from` to `end`, and `end` on if there was none like it. Returns the number of the one
	// that is left.
	uint32_t keep(uint32_t from, uint32_t &end)
	{
		std::span<Record> records = map_->changeable();
		if (from != end)
			records[end] = records[from];
		auto [known, fresh] = known_.insert(end);
		end += fresh;
		return *known + 1;
	}

private:
	struct Hash {
		const RecordMap<Record> *map;
		size_t operator()(uint32_t index) const
		{
			return std::hash<std::string_view>()(what_counts(map->records()[index]));
		}
	};
	struct Same {
		const RecordMap<Record> *map;
		bool operator()(uint32_t one, uint32_t other) const
		{
			auto records = map->records();
			return what_counts(records[one]) == what_counts(records[other]);
		}
	};

	RecordMap<Record> *map_;
	std::unordered_set<uint32_t, Hash, Same> known_; // indices
};

} // namespace bpfckpt::iterators
