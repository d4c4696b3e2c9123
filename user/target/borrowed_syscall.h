/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// One system call by a thread of a frozen tree, through an instruction that it maps already (the vDSO's `syscall`),
// after which the thread is in the same stop with the same registers.
//
// For the one thing that can only be done from inside: running task work that belongs to this very thread, with
// io_uring_enter(IORING_ENTER_GETEVENTS). Not for calls that sleep: those destroy restart_block, which holds the time
// that remains of an interrupted nanosleep(2). bpfckpt killed in these microseconds is the one way to harm the target.
#pragma once

#include <cstdint>
#include <span>

#include <sys/types.h>
#include <sys/user.h>

#include "user/util/result.h"

namespace bpfckpt::target {

// The address of a `syscall` instruction in the vDSO. Errors: kUnsupported (the process has unmapped it).
Result<uint64_t> find_vdso_syscall(pid_t pid);

// `regs` are those with which the thread has to go on, `mask` is as PTRACE_GETSIGMASK gave it. Gives the call's result.
Result<int64_t> borrow_syscall(pid_t pid, pid_t tid, const user_regs_struct &regs, uint64_t mask, long nr,
			       std::span<const uint64_t> args);

} // namespace bpfckpt::target
