/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// bpfckpt check -t PID: whether a tree could be dumped now, without stopping it.
#pragma once

#include "user/cli/options.h"

namespace bpfckpt::cli {

// Returns the exit status: 0, 3 with everything that stands in the way, or that of an error.
int run_check_target(const CheckTargetOptions &options);

} // namespace bpfckpt::cli
