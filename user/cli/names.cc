// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Written out rather than taken from system headers: those of the build machine are older than the kernels we look at.
#include "user/cli/names.h"

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/inotify.h>
#include <sys/mman.h>

namespace bpfckpt::cli {

namespace {

struct Flag {
	uint32_t bits;
	const char *name;
};

void append(std::string &out, std::string_view item, char separator = '|')
{
	if (!out.empty())
		out += separator;
	out += item;
}

// Names of all set flags; what has no name in hexadecimal.
std::string join(uint32_t flags, std::span<const Flag> names, std::string_view prefix = "")
{
	std::string out;
	for (const Flag &flag : names) {
		if ((flags & flag.bits) != flag.bits)
			continue;
		append(out, fmt::format("{}{}", prefix, flag.name));
		flags &= ~flag.bits;
	}
	if (flags)
		append(out, fmt::format("{:#x}", flags));
	return out;
}

// The names of bits 0, 1, 2 ...
std::string join_bits(uint32_t flags, std::span<const char *const> names, std::string_view prefix = "")
{
	std::vector<Flag> table;
	for (size_t i = 0; i < names.size(); i++)
		if (names[i])
			table.push_back({1u << i, names[i]});
	return join(flags, table, prefix);
}

} // namespace

std::string open_flags(uint32_t flags)
{
	// As in include/uapi/asm-generic/fcntl.h; longer ones before those that they contain.
	static constexpr auto kFlags = std::to_array<Flag>({
		{010000000, "O_PATH"},
		{020200000, "O_TMPFILE"},
		{04010000, "O_SYNC"},
		{010000, "O_DSYNC"},
		{02000, "O_APPEND"},
		{04000, "O_NONBLOCK"},
		{020000, "O_ASYNC"},
		{040000, "O_DIRECT"},
		{0200000, "O_DIRECTORY"},
		{0400000, "O_NOFOLLOW"},
		{01000000, "O_NOATIME"},
		{02000000, "O_CLOEXEC"},
		{0100, "O_CREAT"},
		{0200, "O_EXCL"},
		{0400, "O_NOCTTY"},
		{01000, "O_TRUNC"},
	});
	// Set by the kernel itself: O_LARGEFILE, FMODE_NONOTIFY, FMODE_EXEC.
	constexpr uint32_t kHidden = 0100000 | 0x4000000 | 0x20;
	static constexpr std::array<const char *, 4> kAccess = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
	std::string out = (flags & 010000000) ? "" : kAccess[flags & 3];
	std::string rest = join(flags & ~(3u | kHidden), kFlags);
	if (!rest.empty())
		append(out, rest);
	return out;
}

std::string ring_setup_flags(uint32_t flags)
{
	static constexpr auto kBits =
		std::to_array<const char *>({"IOPOLL",        "SQPOLL",        "SQ_AFF",     "CQSIZE",
					     "CLAMP",         "ATTACH_WQ",     "R_DISABLED", "SUBMIT_ALL",
					     "COOP_TASKRUN",  "TASKRUN_FLAG",  "SQE128",     "CQE32",
					     "SINGLE_ISSUER", "DEFER_TASKRUN", "NO_MMAP",    "REGISTERED_FD_ONLY",
					     "NO_SQARRAY",    "HYBRID_IOPOLL", "CQE_MIXED",  "SQE_MIXED"});
	return join_bits(flags, kBits, "IORING_SETUP_");
}

std::string sqe_flags(uint32_t flags)
{
	static constexpr auto kBits = std::to_array<const char *>(
		{"FIXED_FILE", "IO_DRAIN", "IO_LINK", "IO_HARDLINK", "ASYNC", "BUFFER_SELECT", "CQE_SKIP_SUCCESS"});
	return join_bits(flags, kBits);
}

std::string sq_ring_flags(uint32_t flags)
{
	static constexpr auto kBits = std::to_array<const char *>({"NEED_WAKEUP", "CQ_OVERFLOW", "TASKRUN"});
	return join_bits(flags, kBits);
}

std::string cq_ring_flags(uint32_t flags)
{
	static constexpr auto kBits = std::to_array<const char *>({"EVENTFD_DISABLED"});
	return join_bits(flags, kBits);
}

std::string cqe_flags(uint32_t flags)
{
	static constexpr auto kBits =
		std::to_array<const char *>({"BUFFER", "MORE", "SOCK_NONEMPTY", "NOTIF", "BUF_MORE", "SKIP"});
	// IORING_CQE_BUFFER_SHIFT
	std::string out = join_bits(flags & 0xffff, kBits);
	if (flags & 1)
		out += fmt::format(" (buffer {})", flags >> 16);
	return out;
}

std::string poll_events(uint32_t events)
{
	static constexpr auto kFlags = std::to_array<Flag>({
		{0x1, "IN"},
		{0x2, "PRI"},
		{0x4, "OUT"},
		{0x8, "ERR"},
		{0x10, "HUP"},
		{0x20, "NVAL"},
		{0x40, "RDNORM"},
		{0x80, "RDBAND"},
		{0x100, "WRNORM"},
		{0x200, "WRBAND"},
		{0x400, "MSG"},
		{0x2000, "RDHUP"},
		{1u << 28, "EXCLUSIVE"},
		{1u << 29, "WAKEUP"},
		{1u << 30, "ONESHOT"},
		{1u << 31, "ET"},
	});
	return join(events, kFlags);
}

std::string inotify_events(uint32_t mask)
{
	static constexpr auto kFlags = std::to_array<Flag>({
		{IN_ACCESS, "ACCESS"},
		{IN_MODIFY, "MODIFY"},
		{IN_ATTRIB, "ATTRIB"},
		{IN_CLOSE_WRITE, "CLOSE_WRITE"},
		{IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
		{IN_OPEN, "OPEN"},
		{IN_MOVED_FROM, "MOVED_FROM"},
		{IN_MOVED_TO, "MOVED_TO"},
		{IN_CREATE, "CREATE"},
		{IN_DELETE, "DELETE"},
		{IN_DELETE_SELF, "DELETE_SELF"},
		{IN_MOVE_SELF, "MOVE_SELF"},
		{IN_UNMOUNT, "UNMOUNT"},
		{IN_IGNORED, "IGNORED"},
		{IN_ONLYDIR, "ONLYDIR"},
		{IN_DONT_FOLLOW, "DONT_FOLLOW"},
		{IN_EXCL_UNLINK, "EXCL_UNLINK"},
		{IN_ONESHOT, "ONESHOT"},
	});
	return join(mask, kFlags);
}

std::string memfd_seals(uint32_t seals)
{
	static constexpr auto kBits =
		std::to_array<const char *>({"SEAL", "SHRINK", "GROW", "WRITE", "FUTURE_WRITE", "EXEC"});
	return join_bits(seals, kBits);
}

std::string protection(uint32_t prot, bool shared)
{
	return fmt::format("{}{}{}{}", prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
			   prot & PROT_EXEC ? 'x' : '-', shared ? 's' : 'p');
}

std::string signal_name(uint32_t signal)
{
	if (signal >= 34 && signal <= 64)
		return signal == 34 ? "SIGRTMIN" : fmt::format("SIGRTMIN+{}", signal - 34);
	const char *name = ::sigabbrev_np(static_cast<int>(signal));
	return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

std::string signal_set(uint64_t mask)
{
	// SIGKILL and SIGSTOP cannot be blocked: a "full" set lacks them, and glibc keeps 32 and 33 to itself.
	constexpr uint64_t kFull = ~(uint64_t{1} << 8 | uint64_t{1} << 18 | uint64_t{1} << 31 | uint64_t{1} << 32);
	constexpr int kMost = 40;
	if ((mask & kFull) == kFull)
		return "all";
	bool most = std::popcount(mask) > kMost;
	std::string out;
	for (uint64_t rest = most ? ~mask & kFull : mask; rest; rest &= rest - 1)
		append(out, signal_name(static_cast<uint32_t>(std::countr_zero(rest)) + 1), ',');
	return most ? "all but " + out : out;
}

std::string clock_name(uint32_t clock)
{
	static constexpr auto kClocks = std::to_array<const char *>(
		{"REALTIME", "MONOTONIC", "PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID", "MONOTONIC_RAW", "REALTIME_COARSE",
		 "MONOTONIC_COARSE", "BOOTTIME", "REALTIME_ALARM", "BOOTTIME_ALARM", "SGI_CYCLE", "TAI"});
	return clock < kClocks.size() ? fmt::format("CLOCK_{}", kClocks[clock]) : fmt::format("clock {}", clock);
}

std::string scheduling_policy(uint32_t policy)
{
	static constexpr auto kPolicies =
		std::to_array<const char *>({"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "policy 4",
					     "SCHED_IDLE", "SCHED_DEADLINE", "SCHED_EXT"});
	return policy < kPolicies.size() ? kPolicies[policy] : fmt::format("policy {}", policy);
}

static std::string capability_names(uint64_t set)
{
	std::string out;
	for (; set; set &= set - 1) {
		int number = std::countr_zero(set);
		std::unique_ptr<char, int (*)(void *)> name(::cap_to_name(number), ::cap_free);
		append(out, name ? name.get() : fmt::format("cap_{}", number), ',');
	}
	return out;
}

std::string capabilities(uint64_t set)
{
	int count = ::cap_max_bits();
	uint64_t all = count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
	if (!set)
		return "none";
	if (set == all)
		return "all";
	if (std::popcount(all & ~set) <= 4)
		return "all but " + capability_names(all & ~set);
	return capability_names(set);
}

std::string cpu_list(const std::string &mask)
{
	auto is_set = [&](size_t cpu) {
		return cpu / 8 < mask.size() && (static_cast<unsigned char>(mask[cpu / 8]) >> cpu % 8 & 1);
	};
	std::string out;
	for (size_t cpu = 0; cpu < mask.size() * 8; cpu++) {
		if (!is_set(cpu))
			continue;
		size_t first = cpu;
		while (is_set(cpu + 1))
			cpu++;
		append(out, first == cpu ? fmt::format("{}", first) : fmt::format("{}-{}", first, cpu), ',');
	}
	return out;
}

std::string errno_name(int32_t result)
{
	static constexpr int32_t kMostErrno = 4095; // include/linux/err.h: MAX_ERRNO
	const char *name = result < 0 && result >= -kMostErrno ? ::strerrorname_np(-result) : nullptr;
	return name ? fmt::format("{} {}", result, name) : fmt::format("{}", result);
}

} // namespace bpfckpt::cli
