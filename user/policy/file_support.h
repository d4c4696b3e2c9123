/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which open files restore can rebuild: docs/support.md as code. Pure: looks at messages only, so dump asks it before
// it writes them, and restore when it has read them.
#pragma once

#include "images/document.pb.h"
#include "user/policy/options.h"
#include "user/util/result.h"

namespace bpfckpt::policy {

// Appends a finding for each file that cannot be rebuilt.
void refuse_unsupported_files(const images::Document &document, const Options &options, Findings &findings);

} // namespace bpfckpt::policy
