/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What this CPU has of extended registers.
#pragma once

#include <cstdint>

namespace bpfckpt {

// XCR0: what the kernel lets programs use, features that they have to ask for (AMX) included.
inline uint64_t xstate_features()
{
	uint32_t low = 0;
	uint32_t high = 0;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return uint64_t{high} << 32 | low;
}

} // namespace bpfckpt
