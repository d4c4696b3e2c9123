// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/remote.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <elf.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/target/tree_scan.h"
#include "user/util/io.h"

namespace bpfckpt::target {

static constexpr long kOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
static constexpr int kSyscallStop = SIGTRAP | 0x80;

static long request(int what, pid_t tid, uint64_t addr, uint64_t data)
{
	return ::ptrace(static_cast<__ptrace_request>(what), tid, reinterpret_cast<void *>(addr),
			reinterpret_cast<void *>(data));
}

static uint64_t address_of(const void *local)
{
	return reinterpret_cast<uint64_t>(local);
}

static int event_of(int status)
{
	return status >> 16;
}

Error Tracee::dead(int status) const
{
	if (WIFSIGNALED(status))
		return make_error(Code::kInternal, "was killed by signal {} while it was being built", WTERMSIG(status))
			.on(fmt::format("thread {} of pid {}", tid_, pid_));
	return make_error(Code::kInternal, "exited while it was being built (status {:#x})", status)
		.on(fmt::format("thread {} of pid {}", tid_, pid_));
}

Result<int> Tracee::wait_status()
{
	for (;;) {
		int status = 0;
		if (::waitpid(tid_, &status, __WALL) == tid_)
			return status;
		// The only signal that bpfckpt handles is that of its time limit.
		if (errno == EINTR)
			return make_error(Code::kTimeout, "did not stop within the time limit")
				.on(fmt::format("thread {} of pid {}", tid_, pid_));
		return errno_error(errno, "cannot wait for thread {} of pid {}", tid_, pid_);
	}
}

Result<> Tracee::resume(int what, int signal) const
{
	if (request(what, tid_, 0, static_cast<uint64_t>(signal)))
		return errno_error(errno, "cannot resume thread {} of pid {}", tid_, pid_);
	return {};
}

Result<> Tracee::seize()
{
	if (request(PTRACE_SEIZE, tid_, 0, kOptions) || request(PTRACE_INTERRUPT, tid_, 0, 0))
		return errno_error(errno, "cannot trace pid {}", tid_);
	return wait_first_stop();
}

Result<> Tracee::wait_first_stop()
{
	int status = TRY(wait_status());
	if (!WIFSTOPPED(status))
		return dead(status);
	return {};
}

Result<user_regs_struct> Tracee::registers() const
{
	user_regs_struct regs = {};
	if (request(PTRACE_GETREGS, tid_, 0, address_of(&regs)))
		return errno_error(errno, "cannot read the registers of thread {}", tid_);
	return regs;
}

Result<> Tracee::set_registers(const user_regs_struct &regs) const
{
	if (request(PTRACE_SETREGS, tid_, 0, address_of(&regs)))
		return errno_error(errno, "cannot set the registers of thread {}", tid_);
	return {};
}

// What the kernel takes, and nothing else: the same for every thread, whatever it uses (arch/x86/kernel/fpu/regset.c).
static Result<size_t> xsave_size(pid_t tid, std::span<std::byte> scratch)
{
	static size_t size = 0;
	iovec iov = {scratch.data(), scratch.size()};
	if (!size && request(PTRACE_GETREGSET, tid, NT_X86_XSTATE, address_of(&iov)))
		return errno_error(errno, "cannot read the extended registers of thread {}", tid);
	if (!size)
		size = iov.iov_len;
	return size;
}

Result<> Tracee::set_extended_state(std::span<const std::byte> xsave) const
{
	std::array<std::byte, 64 << 10> buffer;
	size_t size = TRY(xsave_size(tid_, buffer));
	if (xsave.size() > size)
		return make_error(Code::kMismatch, "has {} bytes of extended registers, this CPU has {}", xsave.size(),
				  size)
			.on(fmt::format("thread {} of pid {}", tid_, pid_));
	// Images leave out the zeros at the end.
	auto full = std::span(buffer).first(size);
	std::ranges::fill(std::ranges::copy(xsave, full.begin()).out, full.end(), std::byte{});
	iovec iov = {full.data(), full.size()};
	if (request(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, address_of(&iov)))
		return errno_error(errno, "cannot set the extended registers of thread {}", tid_);
	return {};
}

Result<> Tracee::set_signal_mask(uint64_t mask) const
{
	if (request(PTRACE_SETSIGMASK, tid_, sizeof(mask), address_of(&mask)))
		return errno_error(errno, "cannot set the signal mask of thread {}", tid_);
	return {};
}

Result<> Tracee::write(uint64_t address, std::span<const std::byte> bytes) const
{
	while (!bytes.empty()) {
		iovec local = {const_cast<std::byte *>(bytes.data()), bytes.size()};
		iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
		ssize_t done = ::process_vm_writev(tid_, &local, 1, &remote, 1, 0);
		if (done <= 0)
			return errno_error(done ? errno : EFAULT, "cannot write {} bytes to {:#x} of pid {}",
					   bytes.size(), address, pid_);
		bytes = bytes.subspan(static_cast<size_t>(done));
		address += static_cast<uint64_t>(done);
	}
	return {};
}

Result<> Tracee::read(uint64_t address, std::span<std::byte> bytes) const
{
	while (!bytes.empty()) {
		iovec local = {bytes.data(), bytes.size()};
		iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
		ssize_t done = ::process_vm_readv(tid_, &local, 1, &remote, 1, 0);
		if (done <= 0)
			return errno_error(done ? errno : EFAULT, "cannot read {} bytes from {:#x} of pid {}",
					   bytes.size(), address, pid_);
		bytes = bytes.subspan(static_cast<size_t>(done));
		address += static_cast<uint64_t>(done);
	}
	return {};
}

Result<> Tracee::start(uint64_t ip, uint64_t r15, uint64_t r14)
{
	user_regs_struct regs = last_regs_ ? *last_regs_ : TRY(registers());
	regs.rip = ip;
	regs.r15 = r15;
	regs.r14 = r14;
	regs.rsp = 0; // outside of any alternate stack: sigaltstack(2) refuses to change the one in use
	regs.orig_rax = ~0ULL;
	TRY(set_registers(regs));
	return resume(PTRACE_CONT);
}

Result<> Tracee::wait_trap(uint64_t ip)
{
	for (;;) {
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		int event = event_of(status);
		if (event == 0 && WSTOPSIG(status) == SIGTRAP) {
			last_regs_ = TRY(registers());
			if (last_regs_->rip == ip)
				return {};
			return make_error(Code::kInternal, "stopped {} bytes off the end of the stub",
					  last_regs_->rip - ip)
				.on(fmt::format("thread {} of pid {}", tid_, pid_));
		} else if (event == 0 &&
			   (WSTOPSIG(status) == SIGSEGV || WSTOPSIG(status) == SIGBUS || WSTOPSIG(status) == SIGILL)) {
			user_regs_struct regs = TRY(registers());
			return make_error(Code::kInternal, "signal {} in the stub at offset {:#x}", WSTOPSIG(status),
					  regs.rip - stub_.code_page().address)
				.on(fmt::format("thread {} of pid {}", tid_, pid_));
		}
		// Anything else is not for the stub: SIGCHLD of a helper that ended, an EVENT_STOP that raced with the
		// last one.
		TRY(resume(PTRACE_CONT));
	}
}

Result<> Tracee::set_call(long nr, std::span<const uint64_t> args) const
{
	user_regs_struct regs = TRY(registers());
	uint64_t a[6] = {};
	std::copy(args.begin(), args.end(), a);
	regs.rip = stub_.single_call();
	regs.rsp = 0;
	regs.orig_rax = ~0ULL;
	regs.rax = static_cast<uint64_t>(nr);
	regs.rdi = a[0];
	regs.rsi = a[1];
	regs.rdx = a[2];
	regs.r10 = a[3];
	regs.r8 = a[4];
	regs.r9 = a[5];
	return set_registers(regs);
}

Result<int64_t> Tracee::call_to_exit_stop(long nr, std::span<const uint64_t> args)
{
	TRY(set_call(nr, args));
	for (int stops = 0; stops < 2;) {
		TRY(resume(PTRACE_SYSCALL));
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		if (WSTOPSIG(status) == kSyscallStop)
			stops++;
	}
	return static_cast<int64_t>(TRY(registers()).rax);
}

Result<user_regs_struct> Tracee::step(const user_regs_struct &regs)
{
	TRY(set_registers(regs));
	for (;;) {
		TRY(resume(PTRACE_SINGLESTEP));
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		int signal = event_of(status) ? 0 : WSTOPSIG(status);
		if (signal == SIGTRAP)
			return registers();
		if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL)
			return make_error(Code::kInternal, "signal {} at a single instruction", signal)
				.on(fmt::format("thread {} of pid {}", tid_, pid_));
		// A stop before the instruction was executed.
	}
}

// true: asleep in a system call, or stopped again (then with its status).
Result<bool> Tracee::sleeps_or_stopped(int &status) const
{
	if (::waitpid(tid_, &status, __WALL | WNOHANG) == tid_)
		return true;
	std::string text = TRY(read_file(fmt::format("/proc/{}/task/{}/syscall", pid_, tid_)));
	return !text.starts_with("running");
}

Result<int64_t> Tracee::interrupt_in_call(long nr, std::span<const uint64_t> args)
{
	TRY(set_call(nr, args));
	TRY(resume(PTRACE_SYSCALL));
	int status = TRY(wait_status());
	if (!WIFSTOPPED(status))
		return dead(status);
	TRY(resume(PTRACE_CONT));
	status = 0;
	while (!TRY(sleeps_or_stopped(status)))
		::sched_yield();
	if (!status) {
		if (request(PTRACE_INTERRUPT, tid_, 0, 0))
			return errno_error(errno, "cannot interrupt thread {}", tid_);
		status = TRY(wait_status());
	}
	if (!WIFSTOPPED(status))
		return dead(status);
	return static_cast<int64_t>(TRY(registers()).rax);
}

Result<> Tracee::start_call(long nr, std::span<const uint64_t> args)
{
	TRY(set_call(nr, args));
	return resume(PTRACE_CONT);
}

Result<> Tracee::leave_by_exit(int code)
{
	uint64_t args[] = {static_cast<uint64_t>(code)};
	TRY(set_call(SYS_exit, args));
	for (;;) {
		TRY(resume(PTRACE_SYSCALL));
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		if (WSTOPSIG(status) == kSyscallStop)
			break;
	}
	TRY(detach());
	while (!TRY(read_thread_stat(pid_, tid_)).dead())
		::sched_yield();
	return {};
}

Result<> Tracee::resume_for_signal(int signal)
{
	TRY(resume(PTRACE_CONT));
	for (;;) {
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		bool ours = event_of(status) == 0 && WSTOPSIG(status) == signal;
		TRY(resume(PTRACE_CONT, ours ? signal : 0));
		if (ours)
			return {};
	}
}

// Lower numbers and the thread's own queue come first, so all that waits is blocked until it is stopped, and `signal`
// only until it is passed on: a blocked one would be queued again (kernel/signal.c: ptrace_signal()).
Result<> Tracee::enter_group_stop(int signal, uint64_t mask)
{
	TRY(set_signal_mask(~0ULL));
	TRY(resume(PTRACE_CONT));
	for (;;) {
		int status = TRY(wait_status());
		if (!WIFSTOPPED(status))
			return dead(status);
		if (event_of(status) == PTRACE_EVENT_STOP && WSTOPSIG(status) == signal)
			return set_signal_mask(mask);
		bool ours = event_of(status) == 0 && WSTOPSIG(status) == SIGSTOP;
		if (ours)
			TRY(set_signal_mask(~(1ULL << (signal - 1))));
		TRY(resume(PTRACE_CONT, ours ? signal : 0));
	}
}

Result<> Tracee::outlive_tracer() const
{
	if (request(PTRACE_SETOPTIONS, tid_, 0, 0))
		return errno_error(errno, "cannot let go of thread {} of pid {}", tid_, pid_);
	return {};
}

Result<> Tracee::detach() const
{
	return resume(PTRACE_DETACH);
}

} // namespace bpfckpt::target
