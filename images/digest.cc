// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/digest.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include <xxhash.h>

#include "user/util/cores.h"
#include "user/util/io.h"

namespace bpfckpt::images {

namespace {

std::array<std::byte, Digest::kSize> canonical(XXH128_hash_t hash)
{
	XXH128_canonical_t form;
	XXH128_canonicalFromHash(&form, hash);
	std::array<std::byte, Digest::kSize> bytes;
	static_assert(sizeof(form.digest) == Digest::kSize);
	memcpy(bytes.data(), form.digest, Digest::kSize);
	return bytes;
}

size_t piece_count(uint64_t size)
{
	return static_cast<size_t>((size + kDigestPiece - 1) / kDigestPiece);
}

// The missing pieces of a file, taken by any number of threads.
class FileDigester {
public:
	FileDigester(int fd, uint64_t size, PieceDigests &digests) : fd_(fd), size_(size), digests_(digests) {}

	void work()
	{
		std::vector<std::byte> buffer(std::min<uint64_t>(kDigestPiece, size_));
		while (!failed_) {
			size_t index = next_++;
			if (index >= piece_count(size_))
				return;
			if (digests_.has(index))
				continue;
			if (Result<> result = digest_piece(index, buffer); !result)
				fail(std::move(result).error());
		}
	}

	Result<> finish()
	{
		if (error_)
			return std::move(*error_);
		return {};
	}

private:
	Result<> digest_piece(size_t index, std::span<std::byte> buffer)
	{
		uint64_t offset = uint64_t{index} * kDigestPiece;
		auto piece = buffer.first(std::min<uint64_t>(buffer.size(), size_ - offset));
		TRY(pread_exact(fd_, piece, static_cast<off_t>(offset)));
		digests_.set(index, piece);
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
	PieceDigests &digests_;
	std::atomic<size_t> next_ = 0;
	std::atomic<bool> failed_ = false;
	std::mutex mutex_;
	std::optional<Error> error_;
};

} // namespace

PieceDigests::PieceDigests(uint64_t size) : size_(size), pieces_(piece_count(size)), known_(piece_count(size)) {}

void PieceDigests::set(size_t index, std::span<const std::byte> bytes)
{
	pieces_[index] = canonical(XXH3_128bits(bytes.data(), bytes.size()));
	known_[index] = 1;
}

Digest PieceDigests::combined() const
{
	return Digest(canonical(XXH3_128bits(pieces_.data(), pieces_.size() * Digest::kSize)));
}

Result<> PieceDigests::complete(int fd)
{
	FileDigester digester(fd, size_, *this);
	auto missing = static_cast<size_t>(std::ranges::count(known_, 0));
	on_cores(missing, [&digester] { digester.work(); });
	return digester.finish();
}

Digest digest_of(std::span<const std::byte> bytes)
{
	PieceDigests pieces(bytes.size());
	for (size_t index = 0; !bytes.empty(); index++) {
		auto piece = bytes.first(std::min(kDigestPiece, bytes.size()));
		pieces.set(index, piece);
		bytes = bytes.subspan(piece.size());
	}
	return pieces.combined();
}

Result<Digest> digest_of_file(int fd, uint64_t size)
{
	PieceDigests pieces(size);
	TRY(pieces.complete(fd));
	return pieces.combined();
}

} // namespace bpfckpt::images
