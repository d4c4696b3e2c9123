/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What of registered buffers cannot be made again: a part of restorable.h.
#pragma once

#include "user/uring/holders.h"
#include "user/util/result.h"

namespace bpfckpt::uring {

Findings check_buffers(const images::Document &document, const RingHolders &holders);

} // namespace bpfckpt::uring
