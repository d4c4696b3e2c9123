/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a PTRACE_INTERRUPT did to the system call that a thread was blocked in, and how that is made invisible.
//
// At the stop ax holds the result and orig_ax the number (-1: not in a system call). -512 .. -516 are restart codes,
// which the kernel resolves by itself on the way out of the stop. A plain -EINTR would reach the program: those calls
// that have done nothing by then get ax = -514 (ERESTARTNOHAND) instead. That is exact in both cases: without a handler
// the kernel enters the call again, with a handler the program sees the handler and EINTR, as if we had never been here
// (arch/x86/kernel/signal.c: handle_signal(), arch_do_signal_or_restart()).
#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>
#include <sys/user.h>

#include "images/task.pb.h"

namespace bpfckpt::target {

// End of a timed sleep, from the kernel's hrtimer, taken while the thread still slept.
struct SleepDeadline {
	uint32_t clock = 0; // clockid_t
	int64_t ns = 0;     // absolute on that clock, without timer slack
};

struct InterruptedSyscall {
	// Where the program keeps a relative timeout that the kernel does not resume by itself.
	enum class Timeout {
		kNone,
		kMillisecondsR10,    // epoll_wait, epoll_pwait: a register
		kTimespec,           // in memory at timeout_address; read by the kernel at entry
		kTimespecIndirect,   // io_uring_enter: in memory, its address in struct io_uring_getevents_arg at
				     // timeout_address
		kTimespecRegistered, // the same, in memory that is registered with the ring
		kTimespecUpdated,    // in memory, and the kernel itself writes what remains there (ppoll, pselect6)
		kTimevalUpdated,     // the same as struct timeval (select)
		kSocket,             // SO_RCVTIMEO or SO_SNDTIMEO of the socket that is the first argument
	};

	images::InterruptedSyscall message;
	bool fix = false; // ax has to become -514
	Timeout timeout = Timeout::kNone;
	uint64_t timeout_address = 0; // 0: infinite, or not in memory

	// Whether the program keeps its timeout: what remains is there only until the call has read it. The kernel
	// updates that of select(2) and its kin, where it can.
	[[nodiscard]] bool timeout_is_lent() const;

	// Registers with which the thread goes on, here or restored: what remains goes into r10 where that is where it
	// is.
	[[nodiscard]] user_regs_struct resume_registers(user_regs_struct regs,
							std::optional<int64_t> remaining_ns) const;
};

// Pure. `stopped_by_us` is false for a group stop, whose EINTR the program was due to see. Absent: in user mode.
std::optional<InterruptedSyscall> analyse_stop(const user_regs_struct &regs, bool stopped_by_us);

// Adds what the sleeper walk knew. `now_ns` is the time on deadline.clock at the stop.
void set_deadline(InterruptedSyscall *syscall, const SleepDeadline &deadline, int64_t now_ns);
// Of one with Timeout::kTimespecRegistered.
void set_wait_argument(InterruptedSyscall *syscall, uint64_t address);

} // namespace bpfckpt::target
