/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which mappings restore can rebuild: docs/support.md as code. Pure, as file_support.h is.
#pragma once

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::policy {

// Appends a finding for each mapping that cannot be rebuilt. Rings are none of it.
void refuse_unsupported_memory(const images::Document &document, Findings &findings);
// Of one address space, which may be in the document or not.
void refuse_unsupported_memory(const images::Memory &memory, const images::Document &document, Findings &findings);

} // namespace bpfckpt::policy
