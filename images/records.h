/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The bytes of image files to messages. Touches no file, so that it can be fuzzed as it is.
#pragma once

#include <cstdint>
#include <string_view>

#include "images/document.pb.h"
#include "images/format.h"
#include "images/manifest.pb.h"
#include "user/util/result.h"

namespace bpfckpt::images {

// A whole manifest.img: header, message, digest, and the names in it. Errors: kCorrupt; kMismatch for another version
// or architecture.
Result<Manifest> parse_manifest(std::string_view bytes);

// Appends the records of a whole record file to their place in the document; gives their number. Errors: as above.
Result<uint32_t> parse_records(Kind kind, std::string_view bytes, Document &document);

} // namespace bpfckpt::images
