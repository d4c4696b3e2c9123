/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Processes and threads of which the document has only what concerns others: of thousands the messages as a whole would
// be most of what a dump takes. The rest is made from the same records, one process after the other, when it is judged
// and when it is written. Nothing may change in the records until then.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <linux/capability.h>

#include "images/task.pb.h"
#include "user/collect/fd_index.h"
#include "user/collect/task_parts.h"
#include "user/target/frozen_tree.h"

namespace bpfckpt::collect {

// Who opens a file of /proc and its like may see and do more with these (policy/opener.h).
inline constexpr uint64_t kOpenersPrivileges =
	1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_PTRACE | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_SYSLOG;

// Whether only a part of its threads is in the document.
[[nodiscard]] bool is_lean(const images::Process &process, const Context &context);

// Context.ring_users gets it if it is one.
void note_ring_user(const process_record &process, const TaskIndex &index, Context &context);
// Adds what others need of it.
void keep_lean(images::Process whole, Context &context);

class WholeProcesses {
public:
	// After the document is complete. `tree`: NULL of a live one. All of them must stay.
	WholeProcesses(const iterators::TaskRecords &records, std::span<const fd_record> fds,
		       std::span<const ProcessPaths> paths, const target::FrozenTree *tree, Context &context);

	// All but the threads, which it must not have; but of a process whose only thread is not in the document, that
	// comes with it, to be completed as others are.
	void complete(images::Process &process) const;
	// A thread of `process`, which is from the document; without extended registers.
	void complete(const images::Process &process, images::Thread &thread) const;
	void add_extended_registers(images::Thread &thread) const;

	// Each process without its threads, and then each of these with it.
	using OnProcess = std::function<Result<>(const images::Process &)>;
	using OnThread = std::function<Result<>(const images::Process &, const images::Thread &)>;
	Result<> visit(const OnProcess &on_process, const OnThread &on_thread) const;

private:
	std::span<const ProcessPaths> paths_;
	const target::FrozenTree *tree_;
	Context &context_;
	TaskIndex index_;
	FdIndex fds_;
	std::vector<std::pair<uint32_t, const process_record *>> processes_;     // by pid
	std::vector<std::pair<uint32_t, const task_record *>> tasks_;            // by tid
	std::vector<std::pair<uint32_t, const target::FrozenThread *>> stopped_; // by tid
};

} // namespace bpfckpt::collect
