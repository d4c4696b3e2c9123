// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/thread.h"

#include <algorithm>
#include <csignal>
#include <vector>

#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/credentials.h"
#include "user/restore/plan.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

static constexpr int kArchSetCpuid = 0x1012; // ARCH_SET_CPUID (arch/x86/include/uapi/asm/prctl.h)
static constexpr int kIoprioWhoProcess = 1;

namespace {
struct SchedAttr { // struct sched_attr (include/uapi/linux/sched/types.h, which cannot be included beside <sched.h>)
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
};
} // namespace

void add_tile_permission(SyscallBatch &batch, const images::Process &process)
{
	static constexpr int kRequest = 0x1023; // ARCH_REQ_XCOMP_PERM (arch/x86/include/uapi/asm/prctl.h)
	static constexpr int kTileData = 18;
	if (std::ranges::any_of(process.threads(),
				[](const images::Thread &thread) { return xstate_in_use(thread) & kXstateTileData; }))
		batch.add(SYS_arch_prctl, kRequest, kTileData);
}

Result<> prepare_tiles(target::Tracee &tracee, const images::Thread &thread)
{
	if (!(xstate_in_use(thread) & kXstateTileData))
		return {};
	TRY(tracee.start(tracee.stub().tile_init(), 0, 0));
	return tracee.wait_trap(tracee.stub().after_tile());
}

// What a thread has set by prctl(2) and its kin and that needs no order.
// Which a new thread has from bpfckpt (ionice, numactl, setarch).
struct OwnSettings {
	uint64_t timer_slack = 0;
	uint32_t personality = 0;
	uint32_t ioprio = 0;
	bool has_memory_policy = false;
};

static const OwnSettings &own_settings()
{
	static const OwnSettings own = [] {
		int mode = MPOL_DEFAULT;
		bool known = syscall(SYS_get_mempolicy, &mode, nullptr, 0, 0, 0) == 0;
		return OwnSettings{.timer_slack = static_cast<uint64_t>(::prctl(PR_GET_TIMERSLACK)),
				   .personality = static_cast<uint32_t>(::personality(0xffffffff)),
				   .ioprio = static_cast<uint32_t>(syscall(SYS_ioprio_get, kIoprioWhoProcess, 0)),
				   .has_memory_policy = known && mode != MPOL_DEFAULT};
	}();
	return own;
}

static void add_settings(SyscallBatch &batch, const images::Thread &thread)
{
	if (thread.tsc_mode())
		batch.add(SYS_prctl, PR_SET_TSC, thread.tsc_mode());
	if (thread.cpuid_faults())
		batch.add(SYS_arch_prctl, kArchSetCpuid, 0);
	if (thread.mce_kill_set())
		batch.add(SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET, thread.mce_kill(), 0, 0);
	if (thread.store_bypass())
		batch.add(SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, thread.store_bypass(), 0, 0);
	if (thread.indirect_branch())
		batch.add(SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, thread.indirect_branch(), 0, 0);
	if (thread.has_memory_policy()) {
		const images::MemoryPolicy &policy = thread.memory_policy();
		std::vector<uint64_t> nodes(policy.nodes().size() / 8 + 1);
		memcpy(nodes.data(), policy.nodes().data(), policy.nodes().size());
		// The kernel takes one bit less than it is told (mm/mempolicy.c: get_nodes()).
		uint64_t bits = policy.nodes().empty() ? 0 : nodes.size() * 64 + 1;
		batch.add(SYS_set_mempolicy, policy.mode(), batch.data(std::as_bytes(std::span(nodes))), bits);
	} else if (own_settings().has_memory_policy) {
		batch.add(SYS_set_mempolicy, MPOL_DEFAULT, 0, 0);
	}
}

void add_thread_attributes(SyscallBatch &batch, const images::Thread &thread)
{
	batch.add(SYS_prctl, PR_SET_NAME, batch.text(thread.comm()));
	batch.add(SYS_set_tid_address, thread.clear_child_tid());
	if (thread.robust_list())
		batch.add(SYS_set_robust_list, thread.robust_list(), 24);
	if (const images::AlternateStack &stack = thread.altstack(); stack.size()) {
		stack_t value = {.ss_sp = reinterpret_cast<void *>(stack.sp()),
				 .ss_flags = static_cast<int>(stack.flags() & ~static_cast<uint32_t>(SS_ONSTACK)),
				 .ss_size = stack.size()};
		batch.add(SYS_sigaltstack, batch.value(value), 0);
	}
	if (thread.has_rseq() && thread.rseq().address())
		batch.add(SYS_rseq, thread.rseq().address(), thread.rseq().length(), 0, thread.rseq().signature());
	if (thread.timer_slack_ns() && thread.timer_slack_ns() != own_settings().timer_slack)
		batch.add(SYS_prctl, PR_SET_TIMERSLACK, thread.timer_slack_ns());
	add_settings(batch, thread);
	if (thread.personality() != own_settings().personality)
		batch.add(SYS_personality, thread.personality());
	if (thread.has_credentials())
		add_credentials(batch, thread.credentials());
	// A change of credentials clears it.
	if (thread.parent_death_signal())
		batch.add(SYS_prctl, PR_SET_PDEATHSIG, thread.parent_death_signal());
}

// A new thread has what bpfckpt has. Masks end with their last CPU.
static bool has_affinity(const std::vector<uint64_t> &wanted)
{
	static const std::vector<uint64_t> own = [] {
		std::vector<uint64_t> mask(8192 / 64);
		long size = syscall(SYS_sched_getaffinity, 0, mask.size() * 8, mask.data());
		mask.resize(size > 0 ? static_cast<size_t>(size) / 8 : 0);
		while (!mask.empty() && !mask.back())
			mask.pop_back();
		return mask;
	}();
	return wanted == own;
}

static bool has_attributes(const SchedAttr &wanted)
{
	static const SchedAttr own = [] {
		SchedAttr attr = {};
		syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0);
		return attr;
	}();
	// A slice of its own (runtime) is nothing that a new thread gets.
	return own.policy == SCHED_OTHER && wanted.policy == own.policy && wanted.flags == own.flags &&
	       wanted.nice == own.nice && !wanted.runtime && !wanted.deadline && !wanted.period;
}

static Result<> set_affinity(pid_t tid, const std::string &mask)
{
	if (mask.empty())
		return {};
	std::vector<uint64_t> wanted((mask.size() + 7) / 8);
	memcpy(wanted.data(), mask.data(), mask.size());
	if (has_affinity(wanted))
		return {};
	if (syscall(SYS_sched_setaffinity, tid, wanted.size() * 8, wanted.data()) < 0)
		return errno_error(errno, "cannot set the CPUs of thread {}", tid);
	return {};
}

Result<> set_scheduling(pid_t tid, const images::Scheduling &image)
{
	TRY(set_affinity(tid, image.affinity()));
	SchedAttr attr = {};
	attr.size = sizeof(attr);
	attr.policy = image.policy();
	attr.flags = image.deadline_flags() | (image.reset_on_fork() ? SCHED_FLAG_RESET_ON_FORK : 0);
	attr.nice = image.nice();
	attr.priority = image.priority();
	attr.runtime = image.runtime_ns();
	attr.deadline = image.deadline_ns();
	attr.period = image.period_ns();
	// Of other policies the nice value is for later, and not taken (kernel/sched/syscalls.c:
	// __setscheduler_params()).
	bool takes_nice = attr.policy == SCHED_OTHER || attr.policy == SCHED_BATCH;
	if (!takes_nice && setpriority(PRIO_PROCESS, static_cast<id_t>(tid), image.nice()))
		return errno_error(errno, "cannot set nice {} of thread {}", image.nice(), tid);
	if (!has_attributes(attr) && syscall(SYS_sched_setattr, tid, &attr, 0))
		return errno_error(errno, "cannot set policy {}, nice {}, priority {} of thread {}", image.policy(),
				   image.nice(), image.priority(), tid);
	if (image.ioprio() != own_settings().ioprio && syscall(SYS_ioprio_set, kIoprioWhoProcess, tid, image.ioprio()))
		return errno_error(errno, "cannot set the I/O priority of thread {}", tid);
	return {};
}

} // namespace bpfckpt::restore
