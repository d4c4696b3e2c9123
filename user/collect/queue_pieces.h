/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// QueuePieces: which pages of memory have the content of a pipe or of a unix socket's queue, and that content, message
// by message, out of those pages. Pure: reads nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "iterators/page_frames.h"
#include "iterators/queue_record.h"
#include "user/util/result.h"

namespace bpfckpt::collect {

class QueuePieces {
public:
	// `lengths` are those of the messages, as they were counted before. Errors, which say why the queue cannot be
	// read: kUnsupported.
	static Result<QueuePieces> place(std::span<const queue_piece_record> pieces, std::span<const uint32_t> lengths,
					 const iterators::PageFrames &frames, uint64_t most_bytes);

	// Where the kernel has them, ascending, each once.
	[[nodiscard]] std::span<const uint64_t> pages() const { return pages_; }
	// `content`: of all pages(), one behind the other.
	[[nodiscard]] std::vector<std::string> messages(std::span<const std::byte> content) const;

private:
	struct Piece {
		uint64_t start = 0;
		uint32_t length = 0;
		uint32_t message = 0;
	};
	void add_pages();
	void append(const Piece &piece, std::span<const std::byte> content, std::string &message) const;

	std::vector<Piece> pieces_;
	std::vector<uint64_t> pages_;
	size_t messages_ = 0;
};

} // namespace bpfckpt::collect
