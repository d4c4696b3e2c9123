/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Reading a checkpoint directory. Nothing in it is trusted: names, sizes, counts and references are checked before use,
// and every byte is covered by a digest in the manifest, which has one of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "images/arena.h"
#include "images/document.pb.h"
#include "images/manifest.pb.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::images {

struct ReadOptions {
	// Refuse images that another user owns or could have changed (restore without --trust-images).
	bool require_owner = false;
	// Verify pages.img too: reads all of it. Without, the caller does it, with pages_digest.
	bool verify_pages = true;
	// Of one record file; parsed messages take a multiple of it.
	size_t record_file_limit = size_t{1} << 30;
};

struct CheckpointImages {
	explicit CheckpointImages(uint64_t record_bytes) : arena(make_arena(record_bytes)) {}

	Manifest manifest;
	std::unique_ptr<google::protobuf::Arena> arena;
	// Command and version are set; not_restorable is the manifest's.
	Document &document = *google::protobuf::Arena::CreateMessage<Document>(arena.get());
	UniqueFd directory;
	UniqueFd pages; // pages.img, O_RDONLY; invalid if the checkpoint has none
	uint64_t pages_size = 0;
	std::string pages_path;
	std::string pages_digest; // as in the manifest
};

// Errors, each naming the file: kCorrupt (truncated, altered, inconsistent, or no checkpoint), kMismatch (another
// format version or architecture), kPermission (require_owner).
Result<CheckpointImages> read_checkpoint(const std::string &path, const ReadOptions &options = {});

} // namespace bpfckpt::images
