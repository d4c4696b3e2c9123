// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/digest.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <xxhash.h>

#include "user/util/io.h"

namespace bpfckpt::images {

namespace {

constexpr unsigned kMaxThreads = 8;

std::array<std::byte, Digest::kSize> canonical(XXH128_hash_t hash)
{
	XXH128_canonical_t form;
	XXH128_canonicalFromHash(&form, hash);
	std::array<std::byte, Digest::kSize> bytes;
	static_assert(sizeof(form.digest) == Digest::kSize);
	memcpy(bytes.data(), form.digest, Digest::kSize);
	return bytes;
}

using PieceDigests = std::vector<std::array<std::byte, Digest::kSize>>;

Digest combine(const PieceDigests &pieces)
{
	return Digest(canonical(XXH3_128bits(pieces.data(), pieces.size() * Digest::kSize)));
}

size_t piece_count(uint64_t size)
{
	return static_cast<size_t>((size + kDigestPiece - 1) / kDigestPiece);
}

// Pieces of one file, taken by any number of threads.
class FileDigester {
public:
	FileDigester(int fd, uint64_t size) : fd_(fd), size_(size), pieces_(piece_count(size)) {}

	void work()
	{
		std::vector<std::byte> buffer(std::min<uint64_t>(kDigestPiece, size_));
		while (!failed_) {
			size_t index = next_++;
			if (index >= pieces_.size())
				return;
			if (Result<> result = digest_piece(index, buffer); !result)
				fail(std::move(result).error());
		}
	}

	Result<Digest> finish()
	{
		if (error_)
			return std::move(*error_);
		return combine(pieces_);
	}

private:
	Result<> digest_piece(size_t index, std::span<std::byte> buffer)
	{
		uint64_t offset = uint64_t{index} * kDigestPiece;
		auto piece = buffer.first(std::min<uint64_t>(buffer.size(), size_ - offset));
		TRY(pread_exact(fd_, piece, static_cast<off_t>(offset)));
		pieces_[index] = canonical(XXH3_128bits(piece.data(), piece.size()));
		return {};
	}

	void fail(Error error)
	{
		std::lock_guard lock(mutex_);
		if (!error_)
			error_ = std::move(error);
		failed_ = true;
	}

	int fd_;
	uint64_t size_;
	PieceDigests pieces_;
	std::atomic<size_t> next_ = 0;
	std::atomic<bool> failed_ = false;
	std::mutex mutex_;
	std::optional<Error> error_;
};

} // namespace

Digest digest_of(std::span<const std::byte> bytes)
{
	PieceDigests pieces;
	pieces.reserve(piece_count(bytes.size()));
	while (!bytes.empty()) {
		auto piece = bytes.first(std::min(kDigestPiece, bytes.size()));
		pieces.push_back(canonical(XXH3_128bits(piece.data(), piece.size())));
		bytes = bytes.subspan(piece.size());
	}
	return combine(pieces);
}

Result<Digest> digest_of_file(int fd, uint64_t size)
{
	FileDigester digester(fd, size);
	unsigned cores = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
	size_t helpers = std::min<size_t>(cores, piece_count(size)) - (size ? 1 : 0);
	{
		std::vector<std::jthread> threads;
		try {
			for (size_t i = 0; i < helpers; i++)
				threads.emplace_back([&digester] { digester.work(); });
		} catch (const std::system_error &) { // NOLINT(bugprone-empty-catch): no more threads to be had
		}
		digester.work(); // this one does the rest
	}
	return digester.finish();
}

} // namespace bpfckpt::images
