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

constexpr size_t kRseqCsOffset = 8; // struct rseq.rseq_cs

std::string name(pid_t pid, pid_t tid)
{
	return fmt::format("thread {} of pid {}", tid, pid);
}

// What the thread was in the middle of, when it is a restartable sequence: any return to user mode elsewhere clears it.
class RseqCs {
public:
	explicit RseqCs(pid_t tid) : tid_(tid)
	{
		__ptrace_rseq_configuration config = {};
		if (::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(config), &config) > 0 &&
		    config.rseq_abi_pointer)
			address_ = config.rseq_abi_pointer + kRseqCsOffset;
		if (address_ && !read_remote(tid_, address_, std::as_writable_bytes(std::span(&value_, 1))))
			address_ = 0;
	}
	void put_back() const
	{
		if (address_ && value_)
			(void)write_remote(tid_, address_, std::as_bytes(std::span(&value_, 1)));
	}

private:
	pid_t tid_;
	uint64_t address_ = 0;
	uint64_t value_ = 0;
};

// On to the next stop at a system call's entry or exit. A PTRACE_INTERRUPT that is still pending from the freeze, or
// job control, stops it before.
Result<> run_to_syscall_stop(pid_t pid, pid_t tid)
{
	int status = PTRACE_EVENT_STOP << 16;
	// SIGSTOP cannot be blocked: it is passed on, and acts when the thread is let go.
	auto is_signal = [](int stop) { return WIFSTOPPED(stop) && !(stop >> 16) && WSTOPSIG(stop) == SIGSTOP; };
	while (status >> 16 == PTRACE_EVENT_STOP || is_signal(status)) {
		long signal = is_signal(status) ? WSTOPSIG(status) : 0;
		if (::ptrace(PTRACE_SYSCALL, tid, 0, signal) < 0)
			return errno_error(errno, "cannot go on").on(name(pid, tid));
		while (::waitpid(tid, &status, __WALL) < 0) {
			if (errno != EINTR)
				return errno_error(errno, "cannot wait").on(name(pid, tid));
		}
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
Result<int64_t> run_call(pid_t pid, pid_t tid, const user_regs_struct &regs)
{
	TRY(set_registers(pid, tid, regs));
	TRY(set_mask(pid, tid, ~uint64_t{0})); // a signal must find the thread where it was, not here
	TRY(run_to_syscall_stop(pid, tid));
	TRY(run_to_syscall_stop(pid, tid));
	errno = 0;
	long ax = ::ptrace(PTRACE_PEEKUSER, tid, offsetof(user_regs_struct, rax), 0);
	if (errno)
		return errno_error(errno, "cannot read registers").on(name(pid, tid));
	return ax;
}

// Into the signal code again: only there are restart codes understood. It stops there before it looks at signals.
Result<> go_back(pid_t pid, pid_t tid, const ThreadState &state)
{
	TRY(set_mask(pid, tid, state.signal_mask));
	TRY(set_registers(pid, tid, state.regs));
	interrupt(tid);
	::ptrace(PTRACE_CONT, tid, 0, 0);
	ThreadStop stop = TRY(wait_for_stop(tid));
	while (stop.kind == ThreadStop::kTick)
		stop = TRY(wait_for_stop(tid));
	if (stop.kind == ThreadStop::kGone)
		return Error(Code::kGone, "exited").on(name(pid, tid));
	return {};
}

} // namespace

Result<int64_t> borrow_syscall(pid_t pid, pid_t tid, const ThreadState &state, const ReturnPath &path,
			       const BorrowedCall &call)
{
	RseqCs rseq(tid);
	ReturnFrame frame = TRY(ReturnFrame::put(tid, path, state));
	Result<int64_t> result = run_call(pid, tid, call_registers(state.regs, path.call, frame.stack_pointer(), call));
	TRY(go_back(pid, tid, state));
	frame.take_away();
	rseq.put_back();
	return result;
}

} // namespace bpfckpt::target
