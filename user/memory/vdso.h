/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The vDSO (arch/x86/entry/vdso): code of the kernel in every process, so images depend on it.
#pragma once

#include <string>

namespace bpfckpt::memory {

// XXH3-128 of the vDSO that this kernel maps, from our own copy, 16 bytes; empty if there is none (vdso=0).
std::string vdso_hash();

} // namespace bpfckpt::memory
