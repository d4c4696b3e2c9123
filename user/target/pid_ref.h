/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PidRef: one process (struct pid of a thread-group leader), held by a pidfd, so that its number can never mean
// another.
//
// The number is that of our own PID namespace. The pidfd is O_CLOEXEC (always so). Where pidfs exists (6.9) the inode
// is unique for the life of the system; the start time identifies the process on every kernel.
#pragma once

#include <chrono>
#include <cstdint>

#include <sys/types.h>

#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::target {

using Clock = std::chrono::steady_clock;

class PidRef {
public:
	// Errors: kGone (no such process), kUsage (a thread, not a process).
	static Result<PidRef> open(pid_t pid);

	[[nodiscard]] pid_t pid() const { return pid_; }
	[[nodiscard]] int fd() const { return fd_.get(); }
	[[nodiscard]] uint64_t inode() const { return inode_; }
	// Clock ticks since boot, field 22 of /proc/PID/stat.
	[[nodiscard]] uint64_t start_time() const { return start_time_; }

	// Has exited (a zombie has). The number may be anybody's once the parent has waited.
	[[nodiscard]] bool exited() const;
	// Errors: kTimeout.
	Result<> wait_for_exit(Clock::time_point deadline) const;
	// pidfd_send_signal(2). Errors: kGone, kPermission.
	Result<> signal(int number) const;

private:
	pid_t pid_ = 0;
	UniqueFd fd_;
	uint64_t inode_ = 0;
	uint64_t start_time_ = 0;
};

} // namespace bpfckpt::target
