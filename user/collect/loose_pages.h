/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// LoosePages: pages that no process has mapped and no descriptor leads to, so that only the kernel's own mapping of
// memory shows their content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "iterators/page_reader.h"

namespace bpfckpt::collect {

class LoosePages {
public:
	// As much as is read inside the freeze: at several GiB/s.
	static constexpr uint64_t kMostBytes = 256 << 20;

	// Each once, however often it is named. Gives its place in bytes().
	uint64_t add(uint64_t page)
	{
		auto [place, added] = places_.try_emplace(page, pages_.size() * PAGE_CONTENT_BYTES);
		if (added)
			pages_.push_back(page);
		return place->second;
	}
	[[nodiscard]] bool empty() const { return pages_.empty(); }
	[[nodiscard]] bool too_many() const { return pages_.size() * PAGE_CONTENT_BYTES > kMostBytes; }

	// Inside the freeze.
	Result<> read(iterators::PageReader &reader, const iterators::PageFrames &frames)
	{
		bytes_ = TRY(reader.read(pages_, frames));
		return {};
	}
	[[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
	// Where in bytes() a page is; none: it was not read.
	[[nodiscard]] std::optional<uint64_t> find(uint64_t page) const
	{
		auto it = places_.find(page);
		return it == places_.end() || bytes_.empty() ? std::nullopt : std::optional(it->second);
	}

private:
	std::vector<uint64_t> pages_;                   // struct page
	std::unordered_map<uint64_t, uint64_t> places_; // by struct page
	std::vector<std::byte> bytes_;
};

} // namespace bpfckpt::collect
