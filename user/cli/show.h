/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// bpfckpt show: a checkpoint directory, as inspect shows a live process. Needs no BPF and no privilege.
#pragma once

#include <string>

#include "user/cli/options.h"

namespace bpfckpt::cli {

struct ShowOptions {
	std::string directory;
	Sections sections;
	bool json = false;
};

// Returns the exit status.
int run_show(const ShowOptions &options);

} // namespace bpfckpt::cli
