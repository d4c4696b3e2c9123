// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/return_frame.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include <cpuid.h>
#include <sys/syscall.h>

#include "user/target/remote_memory.h"
#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

constexpr uint64_t kRedZone = 128; // of the ABI
constexpr uint64_t kXstateAlign = 64;
constexpr size_t kSoftwareBytes = 464; // struct _fpx_sw_bytes, in the legacy area
constexpr size_t kXstateBv = 512;      // struct _header
constexpr uint64_t kTileFeatures = 3ULL << 17;
// include/uapi/asm/ucontext.h
constexpr unsigned long kFpXstate = 1, kSigcontextSs = 2, kStrictRestoreSs = 4;

std::string name(pid_t tid)
{
	return fmt::format("thread {}", tid);
}

// What rt_sigreturn reads (struct rt_sigframe); the siginfo behind it is nobody's.
struct Frame {
	uint64_t return_address;
	unsigned long flags;
	void *link;
	stack_t stack;
	sigcontext context;
	uint64_t mask;
};
static_assert(sizeof(sigcontext) == 256 && offsetof(Frame, context) == 48);

// --- where the program's own code does it --------------------------------------------------------------------------

using Bytes = std::basic_string_view<unsigned char>;
constexpr unsigned char kCall[] = {0x0f, 0x05, 0xc3};
// With a 64-bit move, as in glibc and musl, and with a 32-bit one.
constexpr unsigned char kSigreturn64[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
constexpr unsigned char kSigreturn32[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};

void look_for(Bytes code, uint64_t address, std::span<const unsigned char> wanted, uint64_t &found)
{
	size_t at = found ? Bytes::npos : code.find(Bytes(wanted.data(), wanted.size()));
	if (at != Bytes::npos)
		found = address + at;
}

void search(pid_t pid, uint64_t start, uint64_t end, ReturnPath &path)
{
	constexpr uint64_t kChunk = 1 << 20, kOverlap = 16;
	std::vector<std::byte> bytes;
	for (uint64_t at = start; at < end && !(path.call && path.sigreturn); at += kChunk) {
		bytes.resize(std::min(kChunk + kOverlap, end - at));
		if (!read_remote(pid, at, bytes))
			return;
		Bytes code(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size());
		look_for(code, at, kCall, path.call);
		look_for(code, at, kSigreturn64, path.sigreturn);
		look_for(code, at, kSigreturn32, path.sigreturn);
	}
}

// The size of the extended registers of a signal frame: without tile data, which takes a permission of its own
// (arch/x86/kernel/fpu/xstate.c: default_size).
size_t frame_xstate_size(uint64_t features)
{
	size_t size = kXstateBv + 64;
	for (unsigned feature = 2; feature < 63; feature++) {
		unsigned bytes, offset, ecx, edx;
		if (features & ~kTileFeatures & 1ULL << feature &&
		    __get_cpuid_count(0xd, feature, &bytes, &offset, &ecx, &edx))
			size = std::max<size_t>(size, offset + bytes);
	}
	return size;
}

// As a signal frame has them: with what the kernel looks for around them (arch/x86/kernel/fpu/signal.c).
Result<std::vector<std::byte>> frame_xstate(pid_t tid, const ThreadState &state)
{
	std::span<const std::byte> xstate = state.xstate;
	uint64_t features = 0, in_use = 0;
	if (xstate.size() < kXstateBv + 64)
		return Error(Code::kUnsupported, "has no extended registers").on(name(tid));
	std::memcpy(&features, xstate.data() + kSoftwareBytes, sizeof(features));
	std::memcpy(&in_use, xstate.data() + kXstateBv, sizeof(in_use));
	size_t size = frame_xstate_size(features);
	if (in_use & kTileFeatures || size > state.xstate_size)
		return Error(Code::kUnsupported, "uses tile registers (AMX)").on(name(tid));
	std::vector<std::byte> bytes(size);
	std::ranges::copy(xstate.first(std::min(size, xstate.size())), bytes.begin());
	_fpx_sw_bytes software = {};
	software.magic1 = FP_XSTATE_MAGIC1;
	software.extended_size = static_cast<uint32_t>(size + FP_XSTATE_MAGIC2_SIZE);
	software.xstate_bv = features & ~kTileFeatures;
	software.xstate_size = static_cast<uint32_t>(size);
	std::memcpy(bytes.data() + kSoftwareBytes, &software, sizeof(software));
	uint32_t end = FP_XSTATE_MAGIC2;
	bytes.resize(size + sizeof(end));
	std::memcpy(bytes.data() + size, &end, sizeof(end));
	return bytes;
}

// A wait that our stop has interrupted is entered again, as the kernel would have it. One whose remaining time only the
// kernel knows (restart_block) says EINTR: rt_sigreturn forgets that time.
void fill_registers(const user_regs_struct &regs, sigcontext &context)
{
	constexpr long kErestartSys = -512, kErestartNoHand = -514, kErestartBlock = -516;
	constexpr uint64_t kSyscallBytes = 2;
	context.r8 = regs.r8;
	context.r9 = regs.r9;
	context.r10 = regs.r10;
	context.r11 = regs.r11;
	context.r12 = regs.r12;
	context.r13 = regs.r13;
	context.r14 = regs.r14;
	context.r15 = regs.r15;
	context.rdi = regs.rdi;
	context.rsi = regs.rsi;
	context.rbp = regs.rbp;
	context.rbx = regs.rbx;
	context.rdx = regs.rdx;
	context.rax = regs.rax;
	context.rcx = regs.rcx;
	context.rsp = regs.rsp;
	context.rip = regs.rip;
	context.eflags = regs.eflags;
	context.cs = static_cast<unsigned short>(regs.cs);
	context.__pad0 = static_cast<unsigned short>(regs.ss);
	auto result = static_cast<long>(regs.rax);
	if (static_cast<long>(regs.orig_rax) < 0)
		return;
	if (result <= kErestartSys && result >= kErestartNoHand)
		context.rax = regs.orig_rax;
	else if (result == kErestartBlock)
		context.rax = SYS_restart_syscall;
	else
		return;
	context.rip -= kSyscallBytes;
}

bool has_shadow_stack(pid_t tid)
{
	Result<std::string> status = read_file(fmt::format("/proc/{}/status", tid));
	size_t at = status ? status->find("x86_Thread_features:") : std::string::npos;
	return at != std::string::npos &&
	       status->substr(at, status->find('\n', at) - at).find("shstk") != std::string::npos;
}

} // namespace

Result<ReturnPath> find_return_path(pid_t pid)
{
	ReturnPath path;
	std::string maps = TRY(read_file(fmt::format("/proc/{}/maps", pid)));
	for (size_t at = 0; at < maps.size() && !(path.call && path.sigreturn); at = maps.find('\n', at) + 1) {
		uint64_t start, end, inode;
		char rights[5];
		if (sscanf(maps.c_str() + at, "%lx-%lx %4s %*x %*x:%*x %lu", &start, &end, rights, &inode) == 4 &&
		    inode && std::string_view(rights) == "r-xp")
			search(pid, start, end, path);
		if (maps.find('\n', at) == std::string::npos)
			break;
	}
	if (!path.call || !path.sigreturn)
		return Error(Code::kUnsupported, "has no code that returns from signals")
			.on(fmt::format("pid {}", pid));
	return path;
}

Result<ReturnFrame> ReturnFrame::put(pid_t tid, const ReturnPath &path, const ThreadState &state)
{
	if (has_shadow_stack(tid))
		return Error(Code::kUnsupported, "has a shadow stack").on(name(tid));
	std::vector<std::byte> xstate = TRY(frame_xstate(tid, state));
	uint64_t top = state.signal_stack ? state.signal_stack : state.regs.rsp - kRedZone;
	uint64_t xstate_at = (top - xstate.size()) & ~(kXstateAlign - 1);
	Frame frame = {};
	frame.return_address = path.sigreturn;
	frame.flags = kFpXstate | kSigcontextSs | kStrictRestoreSs;
	frame.stack.ss_flags = -1; // not valid: the alternate stack stays as it is (kernel/signal.c: restore_altstack)
	frame.mask = state.signal_mask;
	fill_registers(state.regs, frame.context);
	frame.context.__fpstate_word = xstate_at;

	ReturnFrame placed;
	placed.tid_ = tid;
	placed.address_ = (xstate_at - sizeof(frame)) & ~uint64_t{15};
	std::vector<std::byte> bytes(xstate_at - placed.address_ + xstate.size());
	placed.old_.resize(bytes.size());
	std::memcpy(bytes.data(), &frame, sizeof(frame));
	std::ranges::copy(xstate, bytes.data() + (xstate_at - placed.address_));
	if (!read_remote(tid, placed.address_, placed.old_) || !write_remote(tid, placed.address_, bytes))
		return Error(Code::kUnsupported, "has no room on its stack").on(name(tid));
	return placed;
}

void ReturnFrame::take_away() const
{
	(void)write_remote(tid_, address_, old_);
}

} // namespace bpfckpt::target
