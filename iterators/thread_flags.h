/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Which bits of thread_info.flags mean what (arch/x86/include/asm/thread_info.h: TIF_*). They are macros, so BTF does
// not know them, and they have been renumbered: a thread of ours sets each state for itself and looks which bit
// follows.
#pragma once

#include <cstdint>
#include <functional>

#include "user/util/result.h"

namespace bpfckpt::iterators {

struct ThreadFlagBits {
	uint64_t no_tsc = 0;   // PR_SET_TSC, PR_TSC_SIGSEGV
	uint64_t no_cpuid = 0; // ARCH_SET_CPUID 0; none where the CPU cannot
};

// `read` gives the flags of the thread that calls it. Errors: KernelLacks if no bit follows.
Result<ThreadFlagBits> learn_thread_flags(const std::function<Result<uint64_t>()> &read);

} // namespace bpfckpt::iterators
