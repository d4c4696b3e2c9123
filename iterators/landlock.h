/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Where a thread's Landlock domain is (security/landlock/cred.h: struct landlock_cred_security). Its place among what
// security modules keep in struct cred is that of its module in the order of all; so a thread of ours enters a domain
// and looks which word follows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt::iterators {

// `read` gives the words of the thread that calls it. The number of words where the kernel has no Landlock.
// Errors: KernelLacks if no word follows.
Result<uint32_t> learn_landlock_word(const std::function<Result<std::vector<uint64_t>>()> &read);

} // namespace bpfckpt::iterators
