// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/fixed_vector.h"

namespace bpfckpt::uring {

static bool is_within(const uring_bvec &part, const uring_bvec &piece)
{
	return part.length && part.offset >= piece.offset &&
	       uint64_t{part.offset} + part.length <= uint64_t{piece.offset} + piece.length;
}

BufferPlaces::BufferPlaces(uint64_t address, std::span<const uring_bvec> pages)
{
	places_.reserve(pages.size());
	for (const uring_bvec &piece : pages) {
		places_.emplace(piece.page, Place{address, piece});
		address += piece.length;
	}
}

std::vector<images::IoVec> BufferPlaces::iovecs_of(std::span<const uring_bvec> parts) const
{
	std::vector<images::IoVec> iovecs;
	for (const uring_bvec &part : parts) {
		auto place = places_.find(part.page);
		if (place == places_.end() || !is_within(part, place->second.piece))
			return {};
		uint64_t at = place->second.address + part.offset - place->second.piece.offset;
		if (!iovecs.empty() && iovecs.back().address() + iovecs.back().length() == at) {
			iovecs.back().set_length(iovecs.back().length() + part.length);
			continue;
		}
		iovecs.emplace_back();
		iovecs.back().set_address(at);
		iovecs.back().set_length(part.length);
	}
	return iovecs;
}

} // namespace bpfckpt::uring
