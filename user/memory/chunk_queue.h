/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// ChunkQueue: pieces of memory that lie one after the other in a file, handed out to threads in chunks of 128 KiB.
//
// A thread moves a chunk through a buffer of its own, which stays in the cache. Of the ways whose memory is bounded
// this was the fastest (docs/performance.md). Few bytes are moved by the caller alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include <sys/uio.h>

#include "user/memory/range.h"
#include "user/util/result.h"

namespace bpfckpt::memory {

struct Piece {
	Range range;         // addresses, or bytes of an object
	uint64_t offset = 0; // in the file
	uint32_t source = 0; // pieces of one chunk have the same source, and the same `forced`
	bool forced = false;
};

struct Chunk {
	std::vector<iovec> ranges;
	uint64_t offset = 0;
	uint64_t length = 0;
	uint32_t source = 0;
	bool forced = false;
};

class ChunkQueue {
public:
	using Move = std::function<Result<>(const Chunk &, std::span<std::byte> buffer)>;

	// Allocates the buffers.
	ChunkQueue();

	// In the order of offsets. A piece that goes on where the last one ends extends it.
	void add(const Piece &piece);
	// Of all pieces.
	[[nodiscard]] uint64_t bytes() const { return bytes_; }

	// Calls move() for every chunk, from several threads at once, until one fails; gives the first error. Once.
	Result<> run(const Move &move);

private:
	bool claim(Chunk &chunk);
	void work(std::vector<std::byte> &buffer, const Move &move);

	std::vector<Piece> pieces_;
	uint64_t bytes_ = 0;
	std::vector<std::vector<std::byte>> buffers_;

	std::mutex mutex_; // for what follows
	size_t next_ = 0;
	uint64_t done_in_next_ = 0;
	Result<> outcome_;
};

} // namespace bpfckpt::memory
