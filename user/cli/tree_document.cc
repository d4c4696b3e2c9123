// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/tree_document.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <vector>

#include <sys/syscall.h>

#include "user/collect/restarted_syscall.h"
#include "user/policy/file_support.h"
#include "user/policy/leak.h"
#include "user/policy/memory_support.h"
#include "user/policy/opener.h"
#include "user/policy/task_support.h"
#include "user/restore/plan.h"
#include "user/uring/inexact.h"
#include "user/uring/restorable.h"

namespace bpfckpt::cli {
namespace {

using ThreadsById = std::unordered_map<uint32_t, const target::FrozenThread *>;

ThreadsById threads_of(const target::FrozenTree &tree)
{
	ThreadsById threads;
	for (const target::FrozenProcess &process : tree.processes())
		for (const target::FrozenThread &thread : process.threads)
			threads[static_cast<uint32_t>(thread.tid)] = &thread;
	return threads;
}

bool restarts_call(const target::FrozenThread &thread)
{
	return thread.syscall && thread.syscall->message.nr() == SYS_restart_syscall;
}

// Registers and interrupted system calls, which only a stopped thread has. Of those that are not whole, the calls that
// are looked at once more.
void add_registers(const target::FrozenTree &tree, collect::Context &context)
{
	ThreadsById threads = threads_of(tree);
	for (images::Process &process : *context.document->mutable_processes()) {
		bool lean = collect::is_lean(process, context);
		if (auto it = threads.find(process.pid());
		    process.threads().empty() && it != threads.end() && restarts_call(*it->second)) {
			images::Thread &only = *process.add_threads();
			only.set_tid(process.pid());
			only.set_comm(process.comm());
		}
		for (images::Thread &thread : *process.mutable_threads()) {
			auto it = threads.find(thread.tid());
			if (it == threads.end())
				continue;
			if (!lean) {
				tree.describe(*it->second, &thread);
			} else if (restarts_call(*it->second)) {
				images::Thread whole; // with its deadline, which may not have been looked for before
				tree.describe(*it->second, &whole);
				thread.mutable_syscall()->Swap(whole.mutable_syscall());
			}
		}
	}
}

Result<> refuse_unsupported_tasks(const collect::WholeProcesses &processes, Findings &findings)
{
	policy::TaskSupport support(findings);
	return processes.visit(
		[&](const images::Process &process) -> Result<> {
			support.check(process);
			return {};
		},
		[&](const images::Process &process, const images::Thread &thread) -> Result<> {
			support.check(process, thread);
			return {};
		});
}

// A tree that contradicts itself was not whole: somebody whose parent ended as it was looked for, for example.
Result<> add_tree_obstacles(collect::Context &context)
{
	for (Error &obstacle : restore::find_tree_obstacles(*context.document)) {
		if (obstacle.code == Code::kCorrupt)
			return Error(Code::kBusy, "the tree has changed while it was looked at")
				.with_hint("try again")
				.because(std::move(obstacle));
		context.findings.push_back(std::move(obstacle));
	}
	return {};
}

std::vector<policy::SharedObjects> shared_objects(const iterators::TaskReader &tasks)
{
	std::vector<policy::SharedObjects> tree;
	for (const task_record &task : tasks.tasks())
		if (task.mm && !(task.flags & TASK_USER_WORKER))
			tree.push_back({.pid = task.pid, .mm = task.mm, .files = task.files, .fs = task.fs});
	return tree;
}

} // namespace

Result<> build_tree_document(collect::Snapshot &snapshot, const policy::Options &options, const FrozenParts &frozen,
			     collect::Context &context)
{
	if (context.take_memory) {
		context.take_memory = [&context, take = context.take_memory](const images::Memory &memory) {
			policy::refuse_unsupported_memory(memory, *context.document, context.findings);
			return take(memory);
		};
	}
	TRY(snapshot.build(frozen.pages, context));
	if (frozen.tree) {
		add_registers(*frozen.tree, context);
		collect::name_restarted_syscalls(snapshot.tasks().tasks(), context);
	}
	if (frozen.sections)
		frozen.sections->add_to(*context.document);
	if (frozen.contents)
		frozen.contents->add_to(context);
	uring::accept_inexact(options.inexact, *context.document);
	std::ranges::move(uring::check_rings(*context.document), std::back_inserter(context.findings));
	TRY(add_tree_obstacles(context));
	TRY(refuse_unsupported_tasks(snapshot.whole_processes(frozen.tree, context), context.findings));
	for (const images::Memory &memory : context.document->memory())
		if (!context.take_memory || memory.has_layout()) // the others were looked at when they were taken
			policy::refuse_unsupported_memory(memory, *context.document, context.findings);
	policy::refuse_unsupported_files(*context.document, options, context.findings);
	policy::refuse_other_openers(snapshot.files(), snapshot.tasks().records(), context);
	return policy::find_leaks(snapshot.files(), shared_objects(snapshot.tasks()), options, context);
}

} // namespace bpfckpt::cli
