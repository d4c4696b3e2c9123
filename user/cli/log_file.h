/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Where a command logs its steps (-o, -W, -v).
#pragma once

#include "user/cli/options.h"
#include "user/util/log.h"

namespace bpfckpt::cli {

// A file has the steps, whatever -v is. Errors: those of Log::to_file().
Result<Log> open_log(const LogOptions &options);

} // namespace bpfckpt::cli
