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

Digest digest_of(std::span<const std::byte> bytes);

// The first `size` bytes of a file. Errors: that of pread(2); kCorrupt if it is shorter.
Result<Digest> digest_of_file(int fd, uint64_t size);

} // namespace bpfckpt::images
