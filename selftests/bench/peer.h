/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// CRIU beside us in one interleaved run, where it is on PATH (or at $CRIU).
#pragma once

#include <string>

#include <sys/types.h>

namespace bpfckpt::selftests {

// "" if there is none.
std::string find_criu();

// What it dumps into `dir`: frozen and wall time in microseconds, or 0 and why not.
struct PeerDump {
	double frozen_us = 0;
	double wall_us = 0;
	std::string failure;
};
PeerDump criu_dump(const std::string &criu, pid_t pid, const std::string &dir, bool leave_running = true);

// From the start of CRIU until it has detached.
struct PeerRestore {
	double wall_us = 0;
	std::string failure;
};
PeerRestore criu_restore(const std::string &criu, const std::string &dir);

} // namespace bpfckpt::selftests
