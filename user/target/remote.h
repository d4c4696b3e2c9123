/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Tracee: one thread of a process under construction. It is seized by the calling thread with EXITKILL, so that it dies
// with bpfckpt, and it is stopped whenever no member function is running.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include <sys/types.h>
#include <sys/user.h>

#include "user/target/stub.h"
#include "user/util/result.h"

namespace bpfckpt::target {

using Deadline = std::chrono::steady_clock::time_point;

class Tracee {
public:
	Tracee(pid_t pid, pid_t tid, const StubLayout &stub, RemoteRange slot)
		: pid_(pid), tid_(tid), stub_(stub), slot_(slot)
	{
	}

	// Seizes and stops a thread that is not traced yet. Errors: that of ptrace(2).
	Result<> seize();
	// Waits for the first stop of a thread or process that a tracee of ours has cloned with CLONE_PTRACE: it is
	// attached already, with the options of its creator (kernel/fork.c: ptrace_init_task()), whom no stop delays.
	Result<> wait_first_stop();
	// It was cloned by `creator`: what start() does not set is the same.
	void take_registers_of(const Tracee &creator) { last_regs_ = creator.last_regs_; }

	[[nodiscard]] pid_t pid() const { return pid_; }
	[[nodiscard]] pid_t tid() const { return tid_; }
	[[nodiscard]] const StubLayout &stub() const { return stub_; }
	[[nodiscard]] RemoteRange slot() const { return slot_; }

	Result<user_regs_struct> registers() const;
	Result<> set_registers(const user_regs_struct &regs) const;
	Result<> set_extended_state(std::span<const std::byte> xsave) const;
	Result<> set_signal_mask(uint64_t mask) const;

	Result<> write(uint64_t address, std::span<const std::byte> bytes) const;
	Result<> read(uint64_t address, std::span<std::byte> bytes) const;

	// Lets it run from `ip` with the loop's registers set; run_to() does both.
	Result<> start(uint64_t ip, uint64_t r15, uint64_t r14);
	// Waits for the int3 that ends at `ip`.
	Result<> wait_trap(uint64_t ip);

	// One system call that ends in its exit stop: nothing of the stub is executed after it, no SIGTRAP is raised
	// (an int3 would reset an ignored or blocked SIGTRAP). The tracee stays in the exit stop.
	Result<int64_t> call_to_exit_stop(long nr, std::span<const uint64_t> args);

	// Enters a system call, waits until it sleeps in there, and interrupts it. Gives what is in ax then: a restart
	// code of the kernel, or the result if the call did not sleep.
	Result<int64_t> interrupt_in_call(long nr, std::span<const uint64_t> args);

	// One instruction with these registers, and what they are then.
	Result<user_regs_struct> step(const user_regs_struct &regs);

	// Begins a system call that does not come back (exit_group).
	Result<> start_call(long nr, std::span<const uint64_t> args);

	// Begins exit(2) and detaches it at its entry; returns once the thread is dead. For a leader whose threads
	// live.
	Result<> leave_by_exit(int code);

	// Continues with a signal that is queued already: it is passed on at its delivery stop.
	Result<> resume_for_signal(int signal);
	// From an exit stop, with SIGSTOP queued: passes on `signal` instead, and waits until it is stopped by job
	// control. Has `mask` then, and everything else that is queued waits still.
	Result<> enter_group_stop(int signal, uint64_t mask);
	Result<int> wait_status();

	// Without EXITKILL from now on.
	Result<> outlive_tracer() const;
	Result<> detach() const;

private:
	Result<> resume(int how, int signal = 0) const;
	Result<> set_call(long nr, std::span<const uint64_t> args) const;
	[[nodiscard]] Error dead(int status) const;
	Result<bool> sleeps_or_stopped(int &status) const;

	pid_t pid_;
	pid_t tid_;
	StubLayout stub_;
	RemoteRange slot_;
	std::optional<user_regs_struct> last_regs_; // of its last stop in the stub
};

} // namespace bpfckpt::target
