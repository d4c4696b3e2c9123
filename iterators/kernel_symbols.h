/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Names of kernel functions by address, from /proc/kallsyms. It has hundreds of thousands of lines: ask for all at
// once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>

#include "user/util/result.h"

namespace bpfckpt::iterators {

// Those that are the start of a symbol; addresses without one are missing from the result. Errors: that of reading it.
Result<std::unordered_map<uint64_t, std::string>> kernel_symbols(std::span<const uint64_t> addresses);

} // namespace bpfckpt::iterators
