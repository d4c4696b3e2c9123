/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// bpfckpt dump: a checkpoint of a process tree.
#pragma once

#include "user/cli/options.h"

namespace bpfckpt::cli {

// Returns the exit status.
int run_dump(const DumpOptions &options);

} // namespace bpfckpt::cli
