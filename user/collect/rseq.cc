// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/rseq.h"

#include <unordered_set>

#include <sys/uio.h>

namespace bpfckpt::collect {

constexpr uint64_t kRseqCsOffset = 8; // offsetof(struct rseq, rseq_cs)

CriticalSections CriticalSections::read(std::span<const task_record> tasks, const target::FrozenTree &tree)
{
	std::unordered_set<uint32_t> in_user_mode;
	for (const target::FrozenProcess &process : tree.processes())
		for (const target::FrozenThread &thread : process.threads)
			if (thread.stop == target::FrozenThread::Stop::kTrapped && !thread.syscall)
				in_user_mode.insert(static_cast<uint32_t>(thread.tid));
	CriticalSections sections;
	for (const task_record &task : tasks) {
		if (!task.rseq || !in_user_mode.contains(task.tid))
			continue;
		uint64_t section = 0;
		iovec local = {&section, sizeof(section)};
		iovec remote = {reinterpret_cast<void *>(task.rseq + kRseqCsOffset), sizeof(section)};
		// Memory that cannot be read is no sequence for the kernel either: the thread would be killed.
		if (::process_vm_readv(static_cast<pid_t>(task.tid), &local, 1, &remote, 1, 0) == sizeof(section) &&
		    section)
			sections.by_tid_[task.tid] = section;
	}
	return sections;
}

void CriticalSections::add_to(images::Document &document) const
{
	if (by_tid_.empty())
		return;
	for (images::Process &process : *document.mutable_processes()) {
		if (process.threads().empty() && by_tid_.contains(process.pid()))
			process.add_threads()->set_tid(process.pid());
		for (images::Thread &thread : *process.mutable_threads())
			if (auto it = by_tid_.find(thread.tid()); it != by_tid_.end())
				thread.mutable_rseq()->set_critical_section(it->second);
	}
}

} // namespace bpfckpt::collect
