// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a thread has set for itself by prctl(2), arch_prctl(2), set_mempolicy(2) and their kin (struct task_attributes).
// Everything that is not the default is either in the message or a finding.
#include <algorithm>
#include <string>

#include <sys/prctl.h>

#include "user/collect/task_parts.h"

namespace bpfckpt::collect {

// include/linux/sched.h
constexpr uint32_t kPfMceProcess = 0x00000080;
constexpr uint32_t kPfMceEarly = 0x08000000;
constexpr uint32_t kPfIoFlusher = 0x00080000 | 0x00100000; // PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE (kernel/sys.c)
constexpr uint32_t kPfaStoreBypassDisable = 1 << 3;
constexpr uint32_t kPfaStoreBypassForceDisable = 1 << 4;
constexpr uint32_t kPfaIndirectBranchDisable = 1 << 5;
constexpr uint32_t kPfaIndirectBranchForceDisable = 1 << 6;
constexpr uint32_t kPfaStoreBypassNoexec = 1 << 7;
constexpr uint32_t kPolicyModeFlags = 7 << 13; // MPOL_MODE_FLAGS (include/uapi/linux/mempolicy.h)

static uint32_t store_bypass_of(uint32_t atomic_flags)
{
	if (atomic_flags & kPfaStoreBypassForceDisable)
		return PR_SPEC_FORCE_DISABLE;
	if (atomic_flags & kPfaStoreBypassNoexec)
		return PR_SPEC_DISABLE_NOEXEC;
	return atomic_flags & kPfaStoreBypassDisable ? PR_SPEC_DISABLE : 0;
}

static uint32_t indirect_branch_of(uint32_t atomic_flags)
{
	if (atomic_flags & kPfaIndirectBranchForceDisable)
		return PR_SPEC_FORCE_DISABLE;
	return atomic_flags & kPfaIndirectBranchDisable ? PR_SPEC_DISABLE : 0;
}

static void collect_memory_policy(const task_attributes &attributes, images::Thread *message)
{
	uint32_t flags = attributes.memory_policy_flags & kPolicyModeFlags;
	if (!attributes.memory_policy && !flags)
		return;
	images::MemoryPolicy *policy = message->mutable_memory_policy();
	policy->set_mode(attributes.memory_policy | flags);
	std::string nodes(reinterpret_cast<const char *>(attributes.nodes), sizeof(attributes.nodes));
	nodes.resize(nodes.find_last_not_of('\0') + 1);
	policy->set_nodes(nodes);
}

void collect_attributes(const task_attributes &attributes, const iterators::ThreadFlagBits &bits,
			images::Thread *message)
{
	if (attributes.thread_flags & bits.no_tsc)
		message->set_tsc_mode(PR_TSC_SIGSEGV);
	message->set_cpuid_faults(attributes.thread_flags & bits.no_cpuid);
	if (attributes.task_flags & kPfMceProcess) {
		message->set_mce_kill_set(true);
		message->set_mce_kill(attributes.task_flags & kPfMceEarly ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE);
	}
	message->set_store_bypass(store_bypass_of(attributes.atomic_flags));
	message->set_indirect_branch(indirect_branch_of(attributes.atomic_flags));
	collect_memory_policy(attributes, message);
}

void find_unsupported_attributes(const task_record &task, const task_attributes &attributes, Context &context)
{
	static constexpr struct {
		uint32_t oddity;
		const char *state;
		const char *hint;
	} kOddities[] = {
		{TASK_IO_PORTS, "may use I/O ports (iopl, ioperm)", "give them up before the dump: ioperm(.., 0)"},
		{TASK_TLS_SEGMENTS, "has segments of its own (set_thread_area)",
		 "bpfckpt handles 64-bit programs only"},
		{TASK_BREAKPOINTS, "has hardware breakpoints that a debugger left", "start it anew"},
		{TASK_CORE_COOKIE, "has a core scheduling cookie (PR_SCHED_CORE)", "start it without"},
		{TASK_UCLAMP, "has CPU utilization clamps (SCHED_FLAG_UTIL_CLAMP)", "reset them: uclampset --reset"},
		{TASK_KEYRING, "has a keyring of its own thread or process (keyctl)",
		 "keys cannot be copied: start it without, or use the session keyring"},
		{TASK_SEM_UNDO, "has System V semaphore operations to undo at its end (SEM_UNDO)",
		 "try again when it has given the semaphores back"},
		{TASK_LANDLOCK, "is in a Landlock domain (landlock_restrict_self)",
		 "what it forbids cannot be read: start the program without"},
		{TASK_RSEQ_SLICE, "uses time slice extensions (PR_RSEQ_SLICE_EXTENSION)", "start it without"},
	};
	for (const auto &[oddity, state, hint] : kOddities)
		if (attributes.oddities & oddity)
			context.refuse(name_of(task), state, hint);
	if ((attributes.task_flags & kPfIoFlusher) == kPfIoFlusher)
		context.refuse(name_of(task), "is an I/O flusher (PR_SET_IO_FLUSHER)", "start it without");
}

} // namespace bpfckpt::collect
