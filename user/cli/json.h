/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The views of a document: JSON for programs, with the field names of the .proto files.
#pragma once

#include <string>

#include "images/document.pb.h"
#include "user/cli/json_text.h"
#include "user/cli/options.h"
#include "user/util/result.h"

namespace bpfckpt::cli {

// One line-broken document, ended by a newline. Sections that were not asked for are empty arrays. Errors: the sink's.
Result<> write_json(const images::Document &document, const Sections &sections, const TextSink &sink);

// The same, as one string.
std::string render_json(const images::Document &document, const Sections &sections);

} // namespace bpfckpt::cli
