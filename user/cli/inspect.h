/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// bpfckpt inspect: the state of a live process tree, read from outside; nothing is stopped.
#pragma once

#include "user/cli/options.h"

namespace bpfckpt::cli {

// Returns the exit status.
int run_inspect(const InspectOptions &options);

} // namespace bpfckpt::cli
