/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageFill: pages of the page image written into processes that are being rebuilt, by several threads at once.
//
// Each piece of the image that has a digest of its own is read once, and its digest is computed while it is in the
// cache: verifying the image apart took a quarter of a restore of 2 GiB (docs/performance.md).
#pragma once

#include <chrono>

#include <sys/types.h>

#include "images/digest.h"
#include "user/memory/chunk_queue.h"

namespace bpfckpt::memory {

class PageFill {
public:
	PageFill(int image, uint64_t size) : image_(image), size_(size), digests_(size) {}

	// Nothing is written any more after it: Code::kTimeout.
	void set_deadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }

	// Writes each range with the bytes at its offset of the image; the memory must be mapped and writable. Errors:
	// the address that cannot be written; Code::kCorrupt at an early end of the image.
	Result<> write(pid_t pid, std::vector<Piece> pieces);
	// Of the whole image, as it was when its pages were written; what nobody wanted is read now.
	Result<images::Digest> digest();

private:
	struct Job;
	Result<> fill_piece(const Job &job, std::span<std::byte> buffer);

	int image_;
	uint64_t size_;
	images::PieceDigests digests_;
	std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
};

} // namespace bpfckpt::memory
