// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Images against this machine: what is in use here, what changed, what it lacks. Looks, touches nothing.
#include "user/restore/credentials.h"
#include "user/restore/file_lock.h"
#include "user/restore/plan.h"
#include "user/restore/protection_keys.h"
#include "user/restore/sysv_shm.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include <cpuid.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/util/io.h"
#include "user/util/mapping.h"
#include "user/util/xstate.h"

namespace bpfckpt::restore {

static void mismatch(Findings &findings, std::string object, std::string message, std::string hint)
{
	findings.push_back(Error(Code::kMismatch, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
}

static bool may_raise_limits()
{
	__user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
	__user_cap_data_struct data[2] = {};
	return !syscall(SYS_capget, &header, data) && (data[0].effective >> CAP_SYS_RESOURCE & 1);
}

// In the order of their numbers (include/uapi/asm-generic/resource.h).
static constexpr std::array<const char *, 16> kLimits = {
	"RLIMIT_CPU",      "RLIMIT_FSIZE",  "RLIMIT_DATA",    "RLIMIT_STACK",  "RLIMIT_CORE",  "RLIMIT_RSS",
	"RLIMIT_NPROC",    "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS",     "RLIMIT_LOCKS", "RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE", "RLIMIT_NICE",   "RLIMIT_RTPRIO",  "RLIMIT_RTTIME",
};

// A hard limit rises with CAP_SYS_RESOURCE only. What is lower here is named once, not for every process.
static void check_limits(const Plan &plan, Findings &findings)
{
	bool may_raise = may_raise_limits();
	std::unordered_set<uint32_t> named;
	for (const images::Process &process : plan.document->processes()) {
		for (const images::ResourceLimit &limit : process.limits()) {
			rlimit now = {};
			if (may_raise || limit.resource() >= kLimits.size() ||
			    getrlimit(static_cast<__rlimit_resource>(limit.resource()), &now) ||
			    limit.hard() <= now.rlim_max || !named.insert(limit.resource()).second)
				continue;
			findings.push_back(
				make_error(Code::kPermission, "has a hard {} of {}, it is {} here",
					   kLimits[limit.resource()], limit.hard(), now.rlim_max)
					.on(name_of(process))
					.with_hint("raise the limit for bpfckpt, or give it CAP_SYS_RESOURCE"));
		}
	}
}

static void check_descriptors(const Plan &plan, Findings &findings)
{
	rlimit here = {};
	getrlimit(RLIMIT_NOFILE, &here);
	for (const images::Process &process : plan.document->processes()) {
		uint64_t highest = 0;
		for (const images::FdEntry &entry : process.files()) {
			highest = std::max<uint64_t>(highest, entry.fd());
			// A number that is closed by now is in use again when the item is added.
			if (const images::File *file = plan.file(entry.file()))
				for (const images::EpollItem &item : file->epoll().items())
					highest = std::max<uint64_t>(highest, item.fd());
		}
		if (highest + 1 >= here.rlim_max)
			mismatch(findings, name_of(process),
				 fmt::format("has descriptor {}, the limit here is {}", highest, here.rlim_max),
				 fmt::format("raise the hard limit of open files to {} (ulimit -Hn)", highest + 2));
	}
}

static uint64_t xstate_size()
{
	unsigned eax = 0;
	unsigned ebx = 0;
	unsigned ecx = 0;
	unsigned edx = 0;
	__cpuid_count(0xd, 0, eax, ebx, ecx, edx);
	return ebx; // of the features that the kernel enabled in XCR0
}

static std::string name_of_features(uint64_t bits)
{
	static constexpr uint64_t kAvx512 = 7 << 5;
	std::string name = bits & 1 << 2 ? "AVX" : bits & kAvx512 ? "AVX-512" : bits & kXstateTileData ? "AMX" : "";
	return name.empty() ? fmt::format("extended (XCR0 bits {:#x})", bits) : name;
}

// By them programs choose their code when they start, and what they start with the size of stack frames: the dynamic
// linker saves all there are in its resolver of lazily bound functions (glibc, sysdeps/x86/cpu-features.c). Left out is
// what a program has to ask for, and protection keys.
static void check_cpu(const Plan &plan, Findings &findings)
{
	static constexpr uint64_t kChosenBy =
		1 << 1 | 1 << 2 | 3 << 3 | 7 << 5 | 1 << 19; // SSE, AVX, MPX, AVX-512, APX
	uint64_t there = plan.manifest->xstate_features() & kChosenBy;
	uint64_t here = xstate_features() & kChosenBy;
	if (!there || there == here)
		return;
	uint64_t lacks = there & ~here;
	mismatch(findings, "CPU",
		 fmt::format("{} {} registers, unlike that of the dump", lacks ? "lacks" : "has",
			     name_of_features(lacks ? lacks : here & ~there)),
		 "restore on a CPU with the same features, or give --cpu-cap none for programs that do not care");
}

static void check_registers(const Plan &plan, Findings &findings)
{
	uint64_t here = xstate_size();
	uint64_t features = xstate_features();
	for (const images::Process &process : plan.document->processes())
		for (const images::Thread &thread : process.threads())
			if (uint64_t lacking = xstate_in_use(thread) & ~features; is_user(thread) && lacking)
				return mismatch(findings,
						fmt::format("thread {} of {}", thread.tid(), name_of(process)),
						fmt::format("has values in {} registers, which this CPU lacks",
							    name_of_features(lacking)),
						"restore on a CPU with the same features");
	for (const images::Process &process : plan.document->processes())
		for (const images::Thread &thread : process.threads())
			if (is_user(thread) && !thread.xstate().empty() && thread.xstate().size() > here)
				return mismatch(findings, name_of(process),
						fmt::format("has {} bytes of extended registers, this CPU has {}",
							    thread.xstate().size(), here),
						"restore on a CPU with the same features");
}

static void check_droppable(const Plan &plan, Findings &findings)
{
	static constexpr int kMapDroppable = 8; // MAP_DROPPABLE (v6.11)
	auto is_droppable = [](const images::Vma &vma) {
		return std::ranges::find(vma.advice(), "dp") != vma.advice().end();
	};
	for (const images::Memory &memory : plan.document->memory()) {
		auto vma = std::ranges::find_if(memory.vmas(), is_droppable);
		if (vma == memory.vmas().end())
			continue;
		if (!Mapping::create(4096, PROT_READ, kMapDroppable | MAP_ANONYMOUS))
			mismatch(findings, fmt::format("mapping {:x}-{:x}", vma->start(), vma->end()),
				 "is droppable memory (MAP_DROPPABLE), which this kernel lacks",
				 "restore on Linux 6.11 or newer");
		return;
	}
}

// What /proc says of a PID would be about another process.
static bool has_own_proc(Findings &findings)
{
	Result<std::string> self = read_link("/proc/self");
	if (self && *self == std::to_string(getpid()))
		return true;
	findings.push_back(Error(Code::kMismatch, "is not that of this PID namespace")
				   .on("/proc")
				   .with_hint("mount it anew: unshare --pid --fork --mount-proc"));
	return false;
}

void check_machine(Plan &plan, const MachineOptions &options, Findings &findings)
{
	if (!has_own_proc(findings))
		return;
	check_pids(plan, findings);
	check_limits(plan, findings);
	check_capabilities(plan, findings);
	check_descriptors(plan, findings);
	if (options.compare_cpu)
		check_cpu(plan, findings);
	check_registers(plan, findings);
	check_protection_keys(plan, findings);
	check_vdso(plan, findings);
	check_droppable(plan, findings);
	check_files(plan, findings);
	check_locks(plan, findings);
	check_segments(plan, findings);
	check_timers(plan, options, findings);
	check_rings(plan, options, findings);
}

} // namespace bpfckpt::restore
