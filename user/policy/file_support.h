/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which open files restore can rebuild: docs/support.md as code. Pure: looks at messages only.
#pragma once

#include <span>
#include <string>

#include "images/document.pb.h"
#include "user/policy/options.h"
#include "user/util/result.h"

namespace bpfckpt::policy {

// Appends a finding for each file that cannot be rebuilt; objects[id] names File.id for people ("fd 7 of pid 12").
void refuse_unsupported_files(const images::Document &document, std::span<const std::string> objects,
			      const Options &options, Findings &findings);

} // namespace bpfckpt::policy
