/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the command line asks for: one small struct per command that main.cc fills.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "user/policy/options.h"
#include "user/uring/drain_mode.h"

namespace bpfckpt::cli {

// Which parts of the document are wanted; none chosen means all of them.
struct Sections {
	bool tasks = false;
	bool files = false;
	bool rings = false;
	bool timers = false;
	bool memory = false;

	[[nodiscard]] bool all() const { return !tasks && !files && !rings && !timers && !memory; }
	[[nodiscard]] bool has(bool Sections::*section) const { return all() || this->*section; }
};

struct InspectOptions {
	pid_t pid = 0;
	Sections sections;
	bool json = false;
	double watch_seconds = 0; // 0: once
};

struct CheckTargetOptions {
	pid_t pid = 0;
	bool json = false;
	bool tcp_established = false;
	bool ignore_leaks = false;
	std::vector<std::string> inexact; // --allow-inexact
	uint64_t ghost_limit = policy::kGhostLimit;
};

struct LogOptions {
	std::string work_dir; // where a relative path starts; empty: the working directory
	std::string file;     // empty: standard error
	int verbosity = 0;
};

enum class StatsFormat { kNone, kText, kJson };

struct DumpOptions {
	pid_t pid = 0;
	std::string images_dir;
	LogOptions log;
	bool leave_running = false;
	bool leave_stopped = false;
	bool dry_run = false;
	bool forensic = false;
	bool tcp_established = false;
	bool ignore_leaks = false;
	std::vector<std::string> inexact; // --allow-inexact
	uint64_t ghost_limit = policy::kGhostLimit;
	double timeout_seconds = 10;
	uring::DrainMode drain = uring::DrainMode::kAuto;
	double drain_timeout_seconds = 5;
	StatsFormat stats = StatsFormat::kNone;
};

} // namespace bpfckpt::cli
