/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Runs a command and sends it a signal at its N-th system call: every step of it can be hit, and hit again, without a
// hook in it.
#pragma once

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

struct TracedOutput : Output {
	unsigned syscalls = 0;   // entered by the command's first thread
	unsigned renames_at = 0; // which of them is its first renameat2(2): of a dump, what makes the checkpoint
};

// A system call by its number and first argument, and the how-manyeth of them it is.
constexpr uint64_t kAnyArgument = ~uint64_t{0};
struct TracedCall {
	long nr;
	uint64_t first_argument;
	unsigned nth;
};

// signal 0: only counts. A command that takes longer than a minute is ended (SIGALRM).
TracedOutput run_traced(const Args &command, int signal = 0, unsigned at_syscall = 0);
// The signal comes before the call does anything.
TracedOutput run_traced(const Args &command, int signal, const TracedCall &at);

} // namespace bpfckpt::selftests
