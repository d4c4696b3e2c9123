/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What of a ring cannot be made again, because of the rest of the tree. The same for dump, which refuses it, and for
// the plan of a restore.
#pragma once

#include "user/uring/holders.h"
#include "user/util/result.h"

namespace bpfckpt::uring {

// A ring that may register other rings' descriptors in this thread.
[[nodiscard]] bool may_register(const images::Ring &ring, const images::Thread &thread);

// One of those that a thread uses, and through which it may do so; nullptr: there is none.
[[nodiscard]] const images::Ring *ring_to_register(const images::Document &document, const images::Thread &thread);

Findings check_rings(const images::Document &document);

} // namespace bpfckpt::uring
