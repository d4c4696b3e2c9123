/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Names of kernel functions by address. The first call loads a BPF program.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>

#include "user/util/result.h"

namespace bpfckpt::iterators {

// Addresses in no function are missing from the result. Errors: those of BpfObject::load().
Result<std::unordered_map<uint64_t, std::string>> kernel_symbols(std::span<const uint64_t> addresses);

} // namespace bpfckpt::iterators
