/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Every blocking system call that a freeze must not disturb, each in a process of its own below one root.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace bpfckpt::selftests {

// Written by the case's process, in memory shared with the test.
struct WaitReport {
	volatile pid_t tid;
	volatile int64_t start_ns; // CLOCK_MONOTONIC
	volatile int64_t end_ns;
	volatile long result;
	volatile int error;
	volatile int handled; // how often its SIGUSR1 handler ran
	volatile bool done;
};

struct WaitCase {
	enum Kind {
		kExact,   // has a timeout, and ends on time
		kForever, // ends by `trigger`
	};
	std::string name;
	Kind kind;
	int error;                  // errno at its proper end; 0: it succeeds
	std::function<long()> wait; // -1 and errno, or a result
	std::function<void(pid_t)> trigger;
};

// Those with a timeout wait for that long.
std::vector<WaitCase> wait_cases(int64_t timeout_ms);

} // namespace bpfckpt::selftests
