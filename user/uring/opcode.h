/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the kernel knows of each opcode (io_uring/opdef.c).
#pragma once

#include <cstdint>

namespace bpfckpt::uring {

// needs_file: it is about the file that its descriptor or fixed slot names.
[[nodiscard]] bool uses_file(uint8_t opcode);

} // namespace bpfckpt::uring
