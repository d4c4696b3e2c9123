/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A small document with one of everything that the views show and the validator follows.
#pragma once

#include "images/document.pb.h"

namespace bpfckpt::test {

// Two pages of page image belong to it.
inline constexpr uint64_t kSamplePagesSize = 8192;

images::Document sample_document();

} // namespace bpfckpt::test
