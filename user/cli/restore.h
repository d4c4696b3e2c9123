/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

#include <string>

#include "user/cli/options.h"
#include "user/restore/plan.h"

namespace bpfckpt::cli {

struct RestoreOptions {
	std::string images_dir;
	std::string pidfile;
	LogOptions log;
	bool detached = false;
	bool leave_stopped = false;
	bool dry_run = false;
	bool trust_images = false;
	StatsFormat stats = StatsFormat::kNone;
	double timeout_seconds = 30;
	restore::MachineOptions machine;
};

// Exit status: that of the root without `detached`, else 0 once the tree runs; that of the error otherwise.
int run_restore(const RestoreOptions &options);

} // namespace bpfckpt::cli
