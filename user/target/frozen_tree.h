/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// FrozenTree: a process and all its descendants (struct task_struct), every thread in a ptrace stop, registers read.
//
// Stopped by PTRACE_SEIZE and PTRACE_INTERRUPT until no new thread or child appears. What the stop interrupted is made
// invisible at once (interrupted_syscall.h), not at the thaw, so that the target goes on unharmed even if bpfckpt is
// killed: the kernel then detaches everything by itself. No PTRACE_O_EXITKILL. All calls come from the one thread that
// called freeze(): a tracer is a thread. An io-wq worker is never signalled (its request would end with -512).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>
#include <sys/user.h>

#include "images/task.pb.h"
#include "user/target/borrowed_syscall.h"
#include "user/target/interrupted_syscall.h"
#include "user/target/packed_xstate.h"
#include "user/target/pid_ref.h"
#include "user/util/result.h"

namespace bpfckpt::target {

struct FreezeOptions {
	pid_t root = 0;
	std::chrono::nanoseconds timeout = std::chrono::seconds(10);
	// kill() or leave_stopped() is to come: a process that may not be sent signals is refused before.
	bool to_signal = false;
	// How long killed processes may take to exit: freeing terabytes of memory takes its time.
	std::chrono::nanoseconds exit_within = std::chrono::seconds(60);
	// Asked at least every 10 ms while freeze() waits; true ends it with kBusy and everything released.
	std::function<bool()> cancelled;
	// Runs in freeze(), once, between SEIZE and INTERRUPT: the last moment at which the threads still sleep.
	// For SleeperReader::run().
	std::function<Result<>()> before_interrupt;
	// What before_interrupt found for a thread, if it slept from then to the stop without a break (a deadline of an
	// earlier sleep would end this one early). Asked once, by describe() or at the thaw, so task records can be
	// used. Absent: timed calls that the kernel does not resume by itself start their time anew.
	std::function<std::optional<SleepDeadline>(pid_t tid)> deadline_of;
	// Where the struct io_uring_reg_wait lies that a thread waits with (IORING_ENTER_EXT_ARG_REG): its address in
	// the thread's memory, 0 if it is not mapped there. Asked with deadline_of. Absent: such a wait starts its time
	// anew.
	std::function<uint64_t(pid_t tid, const images::InterruptedSyscall &call)> wait_argument_of;
};

struct FrozenThread {
	enum class Stop {
		kRunning, // not stopped (yet)
		kTrapped, // in a ptrace stop
		kWorker,  // an io-wq worker, left alone
		kDead,    // a leader that has exited before its threads; no registers
	};

	pid_t tid = 0;
	images::Thread::Role role = images::Thread::USER;
	Stop stop = Stop::kRunning;
	user_regs_struct regs{};  // as at the stop
	PackedXstate xstate;      // owned by the FrozenTree
	uint64_t signal_mask = 0; // as PTRACE_GETSIGMASK gives it: the saved one in sigsuspend(2) and its kin
	std::optional<InterruptedSyscall> syscall; // absent: was in user mode

	bool inside_vfork = false; // when it was found
	bool seized = false;       // bookkeeping of FrozenTree
	bool in_stop = false;
};

struct FrozenProcess {
	PidRef ref;
	pid_t pid = 0;
	pid_t ppid = 0;
	std::string comm;
	bool zombie = false;               // no threads then
	bool group_stopped = false;        // by job control, before we came; stays so after the thaw
	std::vector<FrozenThread> threads; // the leader first
};

struct FreezeStats {
	size_t processes = 0;
	size_t threads = 0;
	unsigned passes = 0;            // listings until nothing new appeared
	unsigned fixed_syscalls = 0;    // waits that would have shown our EINTR
	unsigned injected_syscalls = 0; // by borrow()
	std::chrono::nanoseconds freeze{};
	std::chrono::nanoseconds thaw{};
};

class FrozenTree {
public:
	// Everything that can be done while the tree runs: finds it, opens pidfds, checks that it may be traced,
	// allocates. Errors: kGone, kUsage (ourselves, an ancestor, a kernel thread, a thread ID), kUnsupported (in
	// another PID namespace, or traced; names the tracer), kPermission (also one of CAP_KILL, with to_signal).
	static Result<FrozenTree> prepare(FreezeOptions options);

	// Returns with every thread stopped, or with an error and everything released. Errors: kTimeout (names the
	// thread, its state and where it sits), kGone (the root exited), kBusy (cancelled), kUnsupported (traced),
	// kPermission.
	Result<> freeze();

	// The target goes on. Idempotent; the destructor does it too.
	Result<> thaw();
	// After it, now and then: of those that were killed while they were stopped, and took until now to exit.
	void take_ends();
	// SIGKILL to all; returns once all have exited. Errors: kTimeout.
	Result<> kill();
	// As after SIGSTOP: released from ptrace, stopped until SIGCONT. On an error all is as before.
	Result<> leave_stopped();

	// Fills tid, role, prstatus, syscall, signal_mask. Also after the end of the freeze.
	void describe(const FrozenThread &thread, images::Thread *message) const;
	// Fills xstate, which is most of a thread: when the message is written.
	static void add_extended_registers(const FrozenThread &thread, images::Thread *message);

	// One system call by a stopped thread, which then is as before (borrowed_syscall.h). Counted in stats().
	// Errors: kUnsupported, kGone, kTimeout: the tree runs again.
	Result<int64_t> borrow(pid_t tid, const BorrowedCall &call);
	// Lets the submission thread of a ring go on for a moment. Errors: the same.
	Result<> let_sq_thread_run(pid_t tid, std::chrono::microseconds time, std::chrono::milliseconds limit);

	// Parents before their children. Before freeze(): what prepare() found, without registers.
	[[nodiscard]] std::span<const FrozenProcess> processes() const;
	[[nodiscard]] std::vector<pid_t> pids() const;
	[[nodiscard]] std::vector<pid_t> tids() const;
	// The tree is not what prepare() saw: readers that were attached before have to be attached anew.
	[[nodiscard]] bool changed_since_prepare() const;
	[[nodiscard]] bool frozen() const;
	[[nodiscard]] const FreezeStats &stats() const;

	FrozenTree(FrozenTree &&) noexcept;
	FrozenTree &operator=(FrozenTree &&) noexcept;
	~FrozenTree();

private:
	struct State;
	explicit FrozenTree(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::target
