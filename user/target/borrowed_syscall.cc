// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/borrowed_syscall.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <vector>

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "user/target/remote_memory.h"
#include "user/target/thread_stop.h"

namespace bpfckpt::target {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kRseqCsOffset = 8; // struct rseq.rseq_cs

std::string name(pid_t pid, pid_t tid)
{
	return fmt::format("thread {} of pid {}", tid, pid);
}

struct Section { // struct rseq_cs
	uint32_t version, flags;
	uint64_t start, length, abort;
};

// Any return to user mode elsewhere ends a restartable sequence (kernel/rseq.c: rseq_ip_fixup()).
bool is_in_sequence(pid_t tid, uint64_t ip)
{
	__ptrace_rseq_configuration config = {};
	uint64_t address = 0;
	Section section = {};
	if (::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(config), &config) <= 0 || !config.rseq_abi_pointer ||
	    !read_remote(tid, config.rseq_abi_pointer + kRseqCsOffset,
			 std::as_writable_bytes(std::span(&address, 1))) ||
	    !address)
		return false;
	return !read_remote(tid, address, std::as_writable_bytes(std::span(&section, 1))) ||
	       ip - section.start < section.length;
}

Error late(pid_t pid, pid_t tid)
{
	return Error(Code::kTimeout, "does not come back from a system call that lets it tell what its ring has done")
		.on(name(pid, tid))
		.with_hint("it may wait for memory that another thread of the tree provides (userfaultfd, FUSE): try "
			   "again, or with --drain=observe");
}

// waitpid(2) until the deadline. False: it has passed.
Result<bool> wait_for(pid_t pid, pid_t tid, Clock::time_point deadline, int &status)
{
	while (::waitpid(tid, &status, __WALL) < 0) {
		if (errno != EINTR)
			return errno_error(errno, "cannot wait").on(name(pid, tid));
		if (Clock::now() >= deadline)
			return false;
	}
	return true;
}

// On to the next stop at a system call's entry or exit. A PTRACE_INTERRUPT that is still pending from the freeze, or
// job control, stops it before.
Result<> run_to_syscall_stop(pid_t pid, pid_t tid, Clock::time_point deadline)
{
	int status = PTRACE_EVENT_STOP << 16;
	// SIGSTOP cannot be blocked: it is passed on, and acts when the thread is let go.
	auto is_signal = [](int stop) { return WIFSTOPPED(stop) && !(stop >> 16) && WSTOPSIG(stop) == SIGSTOP; };
	while (status >> 16 == PTRACE_EVENT_STOP || is_signal(status)) {
		long signal = is_signal(status) ? WSTOPSIG(status) : 0;
		if (::ptrace(PTRACE_SYSCALL, tid, 0, signal) < 0)
			return errno_error(errno, "cannot go on").on(name(pid, tid));
		if (!TRY(wait_for(pid, tid, deadline, status)))
			return late(pid, tid);
	}
	if (!WIFSTOPPED(status))
		return Error(Code::kGone, "exited").on(name(pid, tid));
	if (WSTOPSIG(status) != (SIGTRAP | 0x80) || status >> 16)
		return make_error(Code::kInternal, "stopped with status {:#x} in a borrowed system call", status)
			.on(name(pid, tid));
	return {};
}

Result<> set_registers(pid_t pid, pid_t tid, user_regs_struct regs)
{
	iovec set = {&regs, sizeof(regs)};
	if (::ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &set) < 0)
		return errno_error(errno, "cannot set registers").on(name(pid, tid));
	return {};
}

user_regs_struct call_registers(user_regs_struct regs, uint64_t ip, uint64_t sp, const BorrowedCall &call)
{
	std::array<uint64_t, 6> all{};
	std::ranges::copy(call.args.first(std::min(call.args.size(), all.size())), all.begin());
	regs.rip = ip;
	regs.rsp = sp;
	regs.rax = static_cast<unsigned long long>(call.nr);
	regs.orig_rax = static_cast<unsigned long long>(-1); // no call is being restarted
	regs.rdi = all[0];
	regs.rsi = all[1];
	regs.rdx = all[2];
	regs.r10 = all[3];
	regs.r8 = all[4];
	regs.r9 = all[5];
	return regs;
}

Result<> set_mask(pid_t pid, pid_t tid, uint64_t mask)
{
	if (::ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask) < 0)
		return errno_error(errno, "cannot set the signal mask").on(name(pid, tid));
	return {};
}

// From the stop where it is to the call's end. The mask only after the registers: they put back the old one.
Result<int64_t> run_call(pid_t pid, pid_t tid, const user_regs_struct &regs, Clock::time_point deadline)
{
	TRY(set_registers(pid, tid, regs));
	TRY(set_mask(pid, tid, ~uint64_t{0})); // a signal must find the thread where it was, not here
	TRY(run_to_syscall_stop(pid, tid, deadline));
	TRY(run_to_syscall_stop(pid, tid, deadline));
	errno = 0;
	long ax = ::ptrace(PTRACE_PEEKUSER, tid, offsetof(user_regs_struct, rax), 0);
	if (errno)
		return errno_error(errno, "cannot read registers").on(name(pid, tid));
	return ax;
}

// Into the signal code again: only there are restart codes understood. It stops there before it looks at signals.
Result<> go_back(pid_t pid, pid_t tid, const ThreadState &state, Clock::time_point deadline)
{
	TRY(set_mask(pid, tid, state.signal_mask));
	TRY(set_registers(pid, tid, state.regs));
	interrupt(tid);
	::ptrace(PTRACE_CONT, tid, 0, 0);
	ThreadStop stop = TRY(wait_for_stop(tid));
	while (stop.kind == ThreadStop::kTick) {
		if (Clock::now() >= deadline)
			return late(pid, tid);
		stop = TRY(wait_for_stop(tid));
	}
	if (stop.kind == ThreadStop::kGone)
		return Error(Code::kGone, "exited").on(name(pid, tid));
	return {};
}

} // namespace

Result<int64_t> borrow_syscall(pid_t pid, pid_t tid, const ThreadState &state, const ReturnPath &path,
			       const BorrowedCall &call)
{
	if (is_in_sequence(tid, state.regs.rip))
		return Error(Code::kUnsupported, "is in a restartable sequence").on(name(pid, tid));
	WaitTicks ticks = TRY(WaitTicks::create());
	auto deadline = Clock::now() + call.limit;
	ReturnFrame frame = TRY(ReturnFrame::put(tid, path, state));
	ticks.start();
	Result<int64_t> result =
		run_call(pid, tid, call_registers(state.regs, path.call, frame.stack_pointer(), call), deadline);
	if (!result && result.error().code == Code::kTimeout)
		return result; // it finds back by its frame
	TRY(go_back(pid, tid, state, deadline));
	frame.take_away();
	return result;
}

} // namespace bpfckpt::target
