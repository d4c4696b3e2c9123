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

#include "user/target/thread_stop.h"
#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

constexpr size_t kVdsoPage = 4096;
constexpr size_t kRseqCsOffset = 8; // struct rseq.rseq_cs

std::string name(pid_t pid, pid_t tid)
{
	return fmt::format("thread {} of pid {}", tid, pid);
}

bool read_remote(pid_t pid, uint64_t address, std::span<std::byte> bytes)
{
	iovec local = {bytes.data(), bytes.size()};
	iovec remote = {reinterpret_cast<void *>(address), bytes.size()};
	return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size());
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
		uint64_t value = value_;
		iovec local = {&value, sizeof(value)};
		iovec remote = {reinterpret_cast<void *>(address_), sizeof(value)};
		if (address_ && value_)
			::process_vm_writev(tid_, &local, 1, &remote, 1, 0);
	}

private:
	pid_t tid_;
	uint64_t address_ = 0;
	uint64_t value_ = 0;
};

// On to the next stop at a system call's entry or exit.
Result<> run_to_syscall_stop(pid_t pid, pid_t tid)
{
	int status;
	if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0)
		return errno_error(errno, "cannot go on").on(name(pid, tid));
	while (::waitpid(tid, &status, __WALL) < 0) {
		if (errno != EINTR)
			return errno_error(errno, "cannot wait").on(name(pid, tid));
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

user_regs_struct call_registers(user_regs_struct regs, uint64_t ip, long nr, std::span<const uint64_t> args)
{
	std::array<uint64_t, 6> all{};
	std::ranges::copy(args.first(std::min(args.size(), all.size())), all.begin());
	regs.rip = ip;
	regs.rax = static_cast<unsigned long long>(nr);
	regs.orig_rax = static_cast<unsigned long long>(-1); // no call is being restarted
	regs.rdi = all[0];
	regs.rsi = all[1];
	regs.rdx = all[2];
	regs.r10 = all[3];
	regs.r8 = all[4];
	regs.r9 = all[5];
	return regs;
}

} // namespace

Result<uint64_t> find_vdso_syscall(pid_t pid)
{
	std::string auxv = TRY(read_file(fmt::format("/proc/{}/auxv", pid)));
	uint64_t vdso = 0;
	for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= auxv.size(); at += sizeof(Elf64_auxv_t)) {
		Elf64_auxv_t entry;
		memcpy(&entry, auxv.data() + at, sizeof(entry));
		if (entry.a_type == AT_SYSINFO_EHDR)
			vdso = entry.a_un.a_val;
	}
	std::vector<std::byte> code(2 * kVdsoPage);
	while (vdso && !code.empty() && !read_remote(pid, vdso, code))
		code.resize(code.size() - kVdsoPage);
	constexpr std::array kSyscall = {std::byte{0x0f}, std::byte{0x05}};
	auto found = std::ranges::search(code, kSyscall);
	if (!vdso || found.empty())
		return make_error(Code::kUnsupported, "has no vDSO mapped").on(fmt::format("pid {}", pid));
	return vdso + static_cast<uint64_t>(found.begin() - code.begin());
}

Result<int64_t> borrow_syscall(pid_t pid, pid_t tid, const user_regs_struct &regs, uint64_t mask, long nr,
			       std::span<const uint64_t> args)
{
	uint64_t ip = TRY(find_vdso_syscall(tid));
	RseqCs rseq(tid);
	uint64_t all = ~uint64_t{0};
	// A signal must find the thread where it was, not here.
	if (::ptrace(PTRACE_SETSIGMASK, tid, sizeof(all), &all) < 0)
		return errno_error(errno, "cannot block signals").on(name(pid, tid));

	Result<int64_t> result = 0;
	auto call = [&]() -> Result<int64_t> {
		TRY(set_registers(pid, tid, call_registers(regs, ip, nr, args)));
		TRY(run_to_syscall_stop(pid, tid));
		TRY(run_to_syscall_stop(pid, tid));
		errno = 0;
		long ax = ::ptrace(PTRACE_PEEKUSER, tid, offsetof(user_regs_struct, rax), 0);
		if (errno)
			return errno_error(errno, "cannot read registers").on(name(pid, tid));
		return ax;
	};
	result = call();

	// Back into the signal code: only there are restart codes understood.
	TRY(set_registers(pid, tid, regs));
	rseq.put_back();
	interrupt(tid);
	::ptrace(PTRACE_CONT, tid, 0, 0);
	ThreadStop stop = TRY(wait_for_stop(tid));
	while (stop.kind == ThreadStop::kTick)
		stop = TRY(wait_for_stop(tid));
	if (stop.kind == ThreadStop::kGone)
		return Error(Code::kGone, "exited").on(name(pid, tid));
	::ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	return result;
}

} // namespace bpfckpt::target
