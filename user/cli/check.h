/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// bpfckpt check: what this host offers, and whether a tree could be dumped now.
#pragma once

#include <sys/types.h>

#include "user/util/result.h"

namespace bpfckpt::cli {

struct CheckOptions {
	bool json = false;
};

// The host. Returns the exit status: 0, 4 for a missing capability, 5 for anything else that is missing.
int run_check(const CheckOptions &options);

// `check -t PID`: prints what the capture found. Returns 0 without findings, else 3.
int report_check_target(pid_t pid, const Findings &findings, const CheckOptions &options);

} // namespace bpfckpt::cli
