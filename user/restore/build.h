/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The sequence of a restore, from a plan without findings to a tree that runs.
#pragma once

#include <string>

#include "user/restore/plan.h"
#include "user/target/remote.h"
#include "user/util/log.h"
#include "user/util/result.h"

namespace bpfckpt::restore {

struct BuildOptions {
	bool leave_stopped = false;
	bool detached = false;                               // bpfckpt will not wait for the root
	std::string pidfile;                                 // empty: none
	target::Deadline deadline = target::Deadline::max(); // Code::kTimeout if the tree does not run by then
	int pages_fd = -1;
	uint64_t pages_size = 0;
	std::string pages_path;   // for messages
	std::string pages_digest; // verified before the tree runs; empty: it was before
};

struct BuildStats {
	double timers_ms = 0; // in restore_timers(), all processes together
};

// Returns when the tree runs by itself. Until then a failure leaves nothing behind: no process, no file.
Result<BuildStats> build(const Plan &plan, const BuildOptions &options, const Log &log);

} // namespace bpfckpt::restore
