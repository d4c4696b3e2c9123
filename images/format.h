/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The image format: names and the header of each file (docs/image-format.md).
//
// A record file is a Header and then protobuf messages of one type, each after its length as a varint. manifest.img is
// a Header, one Manifest, and the digest of all bytes before it. pages.img is raw: no header, whole pages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bpfckpt::images {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr std::string_view kManifestName = "manifest.img";
inline constexpr std::string_view kPagesName = "pages.img";

// What a record file holds; the order is that of the files in the manifest and of reading.
enum class Kind : uint32_t { kManifest = 0, kTask = 1, kFile = 2, kRing = 3, kMemory = 4, kSharedMemory = 5 };

struct RecordFile {
	Kind kind;
	std::string_view name;
};

inline constexpr std::array<RecordFile, 5> kRecordFiles = {{
	{Kind::kTask, "task.img"},
	{Kind::kFile, "file.img"},
	{Kind::kRing, "uring.img"},
	{Kind::kMemory, "memory.img"},
	{Kind::kSharedMemory, "shared_memory.img"},
}};

// All integers little-endian.
struct Header {
	std::array<char, 8> magic;
	uint32_t version;
	uint32_t kind;
};
static_assert(sizeof(Header) == 16);

inline constexpr std::array<char, 8> kMagic = {'b', 'p', 'f', 'c', 'k', 'p', 't', '\n'};

} // namespace bpfckpt::images
