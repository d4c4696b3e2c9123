/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The digest of an image file: XXH3-128 over the XXH3-128 of each 1 MiB piece, in canonical (big-endian) form, so that
// all cores can share the work. It finds damage; it is no signature.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt::images {

inline constexpr size_t kDigestPiece = size_t{1} << 20;

class Digest {
public:
	static constexpr size_t kSize = 16;

	Digest() = default;
	explicit Digest(std::array<std::byte, kSize> bytes) : bytes_(bytes) {}

	[[nodiscard]] std::string_view view() const { return {reinterpret_cast<const char *>(bytes_.data()), kSize}; }
	bool operator==(const Digest &) const = default;

private:
	std::array<std::byte, kSize> bytes_{};
};

// The digest of a file whose pieces become known in any order, from several threads at once.
class PieceDigests {
public:
	explicit PieceDigests(uint64_t size);

	[[nodiscard]] bool has(size_t index) const { return known_[index] != 0; }
	// `bytes`: the whole piece.
	void set(size_t index, std::span<const std::byte> bytes);
	// Reads those that are missing, on all cores. Errors: that of pread(2); kCorrupt if the file is shorter.
	Result<> complete(int fd);
	[[nodiscard]] Digest combined() const;

private:
	uint64_t size_;
	std::vector<std::array<std::byte, Digest::kSize>> pieces_;
	std::vector<uint8_t> known_;
};

Digest digest_of(std::span<const std::byte> bytes);

// The first `size` bytes of a file. Errors: that of pread(2); kCorrupt if it is shorter.
Result<Digest> digest_of_file(int fd, uint64_t size);

} // namespace bpfckpt::images
