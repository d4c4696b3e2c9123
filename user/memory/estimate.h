/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// How large the page image of processes that still run will be, more or less.
#pragma once

#include <cstdint>
#include <span>

#include <sys/types.h>

namespace bpfckpt::memory {

// Never fails: what cannot be seen is not counted.
[[nodiscard]] uint64_t estimate_page_bytes(std::span<const pid_t> pids);

} // namespace bpfckpt::memory
