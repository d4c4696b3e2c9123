// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/tree_document.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <vector>

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

// Registers and interrupted system calls, which only a stopped thread has.
void add_registers(const target::FrozenTree &tree, images::Document &document)
{
	ThreadsById threads = threads_of(tree);
	for (images::Process &process : *document.mutable_processes())
		for (images::Thread &thread : *process.mutable_threads())
			if (auto it = threads.find(thread.tid()); it != threads.end())
				tree.describe(*it->second, &thread);
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
		add_registers(*frozen.tree, *context.document);
		collect::name_restarted_syscalls(snapshot.tasks().tasks(), context);
	}
	if (frozen.sections)
		frozen.sections->add_to(*context.document);
	if (frozen.contents)
		frozen.contents->add_to(context);
	uring::accept_inexact(options.inexact, *context.document);
	std::ranges::move(uring::check_rings(*context.document), std::back_inserter(context.findings));
	for (Error &obstacle : restore::find_tree_obstacles(*context.document))
		context.findings.push_back(std::move(obstacle));
	policy::refuse_unsupported_tasks(*context.document, context.findings);
	policy::refuse_unsupported_memory(*context.document, context.findings);
	policy::refuse_unsupported_files(*context.document, options, context.findings);
	policy::refuse_other_openers(snapshot.files(), snapshot.tasks().tasks(), context);
	return policy::find_leaks(snapshot.files(), shared_objects(snapshot.tasks()), options, context);
}

std::function<void(images::Thread &)> extended_registers_of(const target::FrozenTree &tree)
{
	return [threads = threads_of(tree)](images::Thread &message) {
		if (auto it = threads.find(message.tid()); it != threads.end())
			target::FrozenTree::add_extended_registers(*it->second, &message);
	};
}

} // namespace bpfckpt::cli
