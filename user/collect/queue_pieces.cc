// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/queue_pieces.h"

#include <algorithm>

#include "user/util/page.h"

namespace bpfckpt::collect {

static const char *reason_of(uint32_t problem)
{
	switch (problem) {
	case QUEUE_STALE:
		return "a page of a file in it has not been read from the disk, or was cut off";
	case QUEUE_ZERO_COPY:
		return "it has memory that is lent until it is received";
	default:
		return "its memory is no page";
	}
}

static Error too_much()
{
	return {Code::kUnsupported, "all queues of that kind have more than is read of them"};
}

// A frozen queue does not change: what was counted is what is found, or something is not understood.
static Result<> check(std::span<const queue_piece_record> pieces, std::span<const uint32_t> lengths,
		      uint64_t most_bytes)
{
	std::vector<uint64_t> found(lengths.size());
	uint64_t bytes = 0;
	for (const queue_piece_record &piece : pieces) {
		if (piece.problem != QUEUE_READABLE)
			return Error(Code::kUnsupported, reason_of(piece.problem));
		if (piece.message >= found.size())
			return Error(Code::kUnsupported, "it has more messages than were counted");
		found[piece.message] += piece.length;
		bytes += piece.length;
	}
	if (bytes > most_bytes)
		return too_much();
	if (!std::ranges::equal(found, lengths))
		return Error(Code::kUnsupported, "its messages have other lengths than were counted");
	return {};
}

Result<QueuePieces> QueuePieces::place(std::span<const queue_piece_record> pieces, std::span<const uint32_t> lengths,
				       const iterators::PageFrames &frames, uint64_t most_bytes)
{
	TRY(check(pieces, lengths, most_bytes));
	QueuePieces placed;
	placed.messages_ = lengths.size();
	for (const queue_piece_record &piece : pieces) {
		uint64_t start = piece.page ? frames.content_of(piece.page) + piece.start : piece.start;
		if (start + piece.length < start)
			return Error(Code::kUnsupported, "its memory has no place");
		if (piece.length)
			placed.pieces_.push_back({start, piece.length, piece.message});
	}
	placed.add_pages();
	if (placed.pages_.size() * kPageSize > most_bytes)
		return too_much();
	return placed;
}

void QueuePieces::add_pages()
{
	for (const Piece &piece : pieces_)
		for (uint64_t page = piece.start / kPageSize; page <= (piece.start + piece.length - 1) / kPageSize;
		     page++)
			pages_.push_back(page * kPageSize);
	std::ranges::sort(pages_);
	pages_.erase(std::unique(pages_.begin(), pages_.end()), pages_.end());
}

// All pages of a piece are there, one behind the other.
void QueuePieces::append(const Piece &piece, std::span<const std::byte> content, std::string &message) const
{
	uint64_t first = piece.start / kPageSize * kPageSize;
	auto index = static_cast<size_t>(std::ranges::lower_bound(pages_, first) - pages_.begin());
	auto bytes = content.subspan(index * kPageSize + (piece.start - first), piece.length);
	message.append(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

std::vector<std::string> QueuePieces::messages(std::span<const std::byte> content) const
{
	std::vector<std::string> result(messages_);
	for (const Piece &piece : pieces_)
		append(piece, content, result[piece.message]);
	return result;
}

} // namespace bpfckpt::collect
