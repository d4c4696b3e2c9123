/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Whether a stopped thread, once let go, has come to sleep in the system call that it enters again: only then has it
// read a timeout that is in memory for this one time.
//
// /proc/PID/syscall is no proof. A thread that was woken shows the call it was stopped in until its CPU gets round to
// it (kernel/sched/core.c: TASK_WAKING), which takes hundreds of milliseconds where a hypervisor has taken that CPU
// away.
#pragma once

#include <chrono>
#include <cstdint>

#include <sys/types.h>

namespace bpfckpt::target {

class EntryWatch {
public:
	// While the thread is in a ptrace stop, and will not be run again but to enter the call.
	EntryWatch(pid_t pid, pid_t tid);

	// Until it has slept, or has run for so long that it is past its entry, or is gone. False: none of it in time.
	[[nodiscard]] bool wait(std::chrono::nanoseconds within) const;

private:
	struct Counters {
		uint64_t switches = 0; // voluntary ones: to be preempted does not count
		uint64_t run_ns = 0;
	};
	[[nodiscard]] bool read(Counters *counters) const;
	[[nodiscard]] bool has_entered() const;

	pid_t pid_;
	pid_t tid_;
	Counters before_;
};

} // namespace bpfckpt::target
