/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The time as kernel objects hold it: hrtimers and their kin know nothing of a time namespace, whose offsets
// clock_gettime(2) adds to CLOCK_MONOTONIC and CLOCK_BOOTTIME (kernel/time/namespace.c).
#pragma once

#include <cstdint>
#include <ctime>

namespace bpfckpt {

// Nanoseconds now.
[[nodiscard]] int64_t kernel_now(clockid_t clock);

} // namespace bpfckpt
