// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/chunk_queue.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <limits.h>

namespace bpfckpt::memory {

static constexpr size_t kChunk = 128 << 10;
// Below this a second thread costs more than it brings.
static constexpr uint64_t kParallelBytes = 2 << 20;
static constexpr unsigned kMaxThreads = 4;

ChunkQueue::ChunkQueue() : buffers_(std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads))
{
	for (std::vector<std::byte> &buffer : buffers_)
		buffer.resize(kChunk);
}

void ChunkQueue::add(const Piece &piece)
{
	bytes_ += piece.range.size();
	if (!pieces_.empty()) {
		Piece &last = pieces_.back();
		if (last.range.end == piece.range.start && last.offset + last.range.size() == piece.offset &&
		    last.source == piece.source && last.forced == piece.forced) {
			last.range.end = piece.range.end;
			return;
		}
	}
	pieces_.push_back(piece);
}

Result<> ChunkQueue::run(const Move &move)
{
	std::vector<std::jthread> helpers;
	if (bytes_ >= kParallelBytes) {
		for (size_t i = 1; i < buffers_.size(); i++)
			helpers.emplace_back([this, &move, i] { work(buffers_[i], move); });
	}
	work(buffers_[0], move);
	helpers.clear();
	(void)std::exchange(pieces_, {});
	return std::move(outcome_);
}

void ChunkQueue::work(std::vector<std::byte> &buffer, const Move &move)
{
	Chunk chunk;
	while (claim(chunk)) {
		Result<> done = move(chunk, std::span(buffer).first(chunk.length));
		if (done)
			continue;
		std::lock_guard lock(mutex_);
		if (outcome_)
			outcome_ = std::move(done);
		return;
	}
}

// The next chunk that nobody moves yet; false at the end, or once something has failed.
bool ChunkQueue::claim(Chunk &chunk)
{
	std::lock_guard lock(mutex_);
	if (next_ == pieces_.size() || !outcome_)
		return false;
	const Piece &first = pieces_[next_];
	chunk.ranges.clear();
	chunk.offset = first.offset + done_in_next_;
	chunk.length = 0;
	chunk.source = first.source;
	chunk.forced = first.forced;
	while (next_ < pieces_.size() && chunk.length < kChunk && chunk.ranges.size() < IOV_MAX) {
		const Piece &piece = pieces_[next_];
		if (piece.source != first.source || piece.forced != first.forced ||
		    piece.offset + done_in_next_ != chunk.offset + chunk.length)
			break;
		uint64_t length = std::min(piece.range.size() - done_in_next_, kChunk - chunk.length);
		chunk.ranges.push_back({reinterpret_cast<void *>(piece.range.start + done_in_next_), length});
		chunk.length += length;
		done_in_next_ += length;
		if (done_in_next_ == piece.range.size()) {
			next_++;
			done_in_next_ = 0;
		}
	}
	return true;
}

} // namespace bpfckpt::memory
