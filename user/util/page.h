/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <cstdint>

namespace bpfckpt {

inline constexpr uint64_t kPageSize = 4096; // of x86-64

} // namespace bpfckpt
