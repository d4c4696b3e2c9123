/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Vectors of parts of a registered buffer (READV_FIXED, WRITEV_FIXED): once they are issued the kernel keeps their
// pages, in the order of the program's vector, and each where it is in the buffer (io_uring/rsrc.c:
// io_vec_fill_bvec()).
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "images/uring.pb.h"
#include "iterators/uring_record.h"

namespace bpfckpt::uring {

// The pages of a registered buffer at `address`, to be found by who keeps them.
class BufferPlaces {
public:
	BufferPlaces(uint64_t address, std::span<const uring_bvec> pages);
	// Where `parts` are, neighbours as one. A page that the buffer has twice is the same in both places. Empty: one
	// of them is not of this buffer.
	[[nodiscard]] std::vector<images::IoVec> iovecs_of(std::span<const uring_bvec> parts) const;

private:
	struct Place {
		uint64_t address;
		uring_bvec piece;
	};
	std::unordered_map<uint64_t, Place> places_; // by struct page of the first of each piece
};

} // namespace bpfckpt::uring
