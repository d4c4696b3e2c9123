/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Consistency of a document: ids are unique, references lead somewhere, ranges are ordered and in bounds, counts and
// sizes are what the kernel allows. Whoever uses a document that passed need not check again.
#pragma once

#include <cstdint>

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::images {

// `pages_size`: of pages.img, which page runs point into. The first problem found, as Code::kCorrupt with its object.
Result<> validate(const Document &document, uint64_t pages_size);

} // namespace bpfckpt::images
