/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// One system call by a thread of a frozen tree, through an instruction that it maps already, after which the thread is
// in the same stop with the same registers.
//
// For the one thing that can only be done from inside: running task work that belongs to this very thread, with
// io_uring_enter(IORING_ENTER_GETEVENTS). Not for calls that sleep: those destroy restart_block, which holds the time
// that remains of an interrupted nanosleep(2). bpfckpt may be killed at any moment of it (return_frame.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include <sys/types.h>

#include "user/target/return_frame.h"
#include "user/util/result.h"

namespace bpfckpt::target {

struct BorrowedCall {
	long nr = 0;
	std::span<const uint64_t> args;
	uint64_t signal_stack = 0; // the thread's alternate one
	uint64_t signal_stack_size = 0;
	std::chrono::milliseconds limit = std::chrono::seconds(5);
};

// Gives the call's result. Errors: kUnsupported (nothing was done: not inside of a restartable sequence, which the call
// would leave without its abort handler), kGone, kTimeout: it did not stop again, and must be let go.
Result<int64_t> borrow_syscall(pid_t pid, pid_t tid, const ThreadState &state, const ReturnPath &path,
			       const BorrowedCall &call);

} // namespace bpfckpt::target
