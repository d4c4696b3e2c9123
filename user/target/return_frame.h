/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// ReturnFrame: what makes a borrowed system call (borrowed_syscall.h) harmless if bpfckpt is killed in the middle of
// it.
//
// The kernel lets go of a thread whose tracer dies, with the registers that it has at that moment. So these are chosen
// to find back by themselves: the call is made by a `syscall; ret` of the program, on a stack whose top is what the
// kernel puts there for a signal (arch/x86/include/asm/sigframe.h: struct rt_sigframe), with the thread's own registers
// in it. `ret` leads to the program's own `mov $__NR_rt_sigreturn, %eax; syscall`, which takes them back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/types.h>
#include <sys/user.h>

#include "user/util/result.h"

namespace bpfckpt::target {

// Two places in the code of a process.
struct ReturnPath {
	uint64_t call = 0;      // syscall; ret
	uint64_t sigreturn = 0; // mov $15, %eax; syscall
};

// Errors: kUnsupported (its code has neither, as that of a program without a C library).
Result<ReturnPath> find_return_path(pid_t pid);

// What a thread is to have again.
struct ThreadState {
	user_regs_struct regs{};           // to go on with; restart codes still in them
	uint64_t signal_mask = 0;          // as PTRACE_GETSIGMASK gives it
	std::span<const std::byte> xstate; // NT_X86_XSTATE without zeroes at its end
	size_t xstate_size = 0;            // with them
	uint64_t signal_stack = 0;         // end of its alternate stack, if it is not on it; 0: none
};

class ReturnFrame {
public:
	// Writes it to the thread's stack, below what a signal would spare. Errors: kUnsupported (no room, a shadow
	// stack, tile data in use).
	static Result<ReturnFrame> put(pid_t tid, const ReturnPath &path, const ThreadState &state);
	// The stack pointer for the call.
	[[nodiscard]] uint64_t stack_pointer() const { return address_; }
	// The bytes that were there before.
	void take_away() const;

private:
	pid_t tid_ = 0;
	uint64_t address_ = 0;
	std::vector<std::byte> old_;
};

} // namespace bpfckpt::target
