// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/thread_flags.h"

#include <bit>
#include <thread>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfckpt::iterators {

namespace {

constexpr int kArchSetCpuid = 0x1012; // ARCH_SET_CPUID (arch/x86/include/uapi/asm/prctl.h)
// Other bits come and go by themselves (TIF_NEED_RESCHED): one that agrees this often is ours.
constexpr int kSamples = 6;

bool set_tsc(bool on)
{
	return prctl(PR_SET_TSC, on ? PR_TSC_ENABLE : PR_TSC_SIGSEGV) == 0;
}

bool set_cpuid(bool on)
{
	return syscall(SYS_arch_prctl, kArchSetCpuid, on) == 0;
}

// 0 where the state cannot be set. Meanwhile the thread must not read a clock in the vDSO, or ask for the CPU's kind.
Result<uint64_t> follow(const std::function<Result<uint64_t>()> &read, bool (*set)(bool on))
{
	uint64_t bits = ~uint64_t{0};
	for (int i = 0; i < kSamples; i++) {
		if (!set(false))
			return uint64_t{0};
		auto off = read();
		set(true);
		bits &= TRY(std::move(off)) & ~TRY(read());
	}
	if (!std::has_single_bit(bits))
		return make_error(Code::kKernelLacks, "cannot tell which flag of a thread hides the TSC or CPUID");
	return bits;
}

} // namespace

Result<ThreadFlagBits> learn_thread_flags(const std::function<Result<uint64_t>()> &read)
{
	Result<ThreadFlagBits> learned = ThreadFlagBits();
	auto learn = [&]() -> Result<ThreadFlagBits> {
		ThreadFlagBits bits;
		bits.no_tsc = TRY(follow(read, set_tsc));
		bits.no_cpuid = TRY(follow(read, set_cpuid));
		return bits;
	};
	// Its own, because a thread that bpfckpt inherited these states for could not get them back.
	std::thread([&] { learned = learn(); }).join();
	return learned;
}

} // namespace bpfckpt::iterators
