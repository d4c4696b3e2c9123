// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Credentials and namespaces of tasks, and the state of a task that a dump refuses.
#include <algorithm>

#include <sys/stat.h>

#include <fmt/format.h>

#include "user/collect/task.h"
#include "user/collect/task_parts.h"

namespace bpfckpt::collect {

void collect_credentials(const task_credentials &record, std::span<const group_record> groups,
			 images::Credentials *message)
{
	message->set_uid(record.uid);
	message->set_gid(record.gid);
	message->set_euid(record.euid);
	message->set_egid(record.egid);
	message->set_suid(record.suid);
	message->set_sgid(record.sgid);
	message->set_fsuid(record.fsuid);
	message->set_fsgid(record.fsgid);
	message->set_securebits(record.securebits);
	message->set_cap_inheritable(record.inheritable);
	message->set_cap_permitted(record.permitted);
	message->set_cap_effective(record.effective);
	message->set_cap_bounding(record.bounding);
	message->set_cap_ambient(record.ambient);
	for (const group_record &chunk : groups) {
		// The same list may be reported more than once: take each index once.
		if (chunk.group_info != record.group_info ||
		    chunk.index != static_cast<uint32_t>(message->groups_size()))
			continue;
		for (uint32_t i = 0; i < std::min<uint32_t>(chunk.count, TASK_GROUP_CHUNK); i++)
			message->add_groups(chunk.gid[i]);
	}
}

struct NamespaceKind {
	const char *type; // as in /proc/PID/ns
	uint32_t task_namespaces::*inode;
};

static constexpr NamespaceKind kNamespaces[] = {
	{"cgroup", &task_namespaces::cgroup}, {"ipc", &task_namespaces::ipc},
	{"mnt", &task_namespaces::mnt},       {"net", &task_namespaces::net},
	{"pid", &task_namespaces::pid},       {"pid_for_children", &task_namespaces::pid_for_children},
	{"time", &task_namespaces::time},     {"time_for_children", &task_namespaces::time_for_children},
	{"user", &task_namespaces::user},     {"uts", &task_namespaces::uts},
};

std::unordered_set<uint64_t> own_namespaces()
{
	std::unordered_set<uint64_t> inodes;
	for (const NamespaceKind &kind : kNamespaces) {
		struct stat st = {};
		if (stat(fmt::format("/proc/self/ns/{}", kind.type).c_str(), &st) == 0)
			inodes.insert(st.st_ino);
	}
	return inodes;
}

void collect_namespaces(const Context &context, const task_namespaces &record,
			google::protobuf::RepeatedPtrField<images::Namespace> *messages)
{
	for (const NamespaceKind &kind : kNamespaces) {
		if (!(record.*kind.inode))
			continue;
		images::Namespace *message = messages->Add();
		message->set_type(kind.type);
		message->set_inode(record.*kind.inode);
		message->set_own(context.own_namespaces.contains(record.*kind.inode));
	}
}

static bool same_namespaces(const task_namespaces &one, const task_namespaces &other)
{
	return std::ranges::all_of(kNamespaces,
				   [&](const NamespaceKind &kind) { return one.*kind.inode == other.*kind.inode; });
}

// Of a thread that is not where its process is.
static void find_foreign_namespaces(const task_record &task, const task_namespaces &namespaces, Context &context)
{
	for (const NamespaceKind &kind : kNamespaces) {
		uint32_t inode = namespaces.*kind.inode;
		if (inode && !context.own_namespaces.contains(inode))
			context.refuse(name_of(task),
				       fmt::format("is in another {} namespace (inode {})", kind.type, inode),
				       "run bpfckpt inside of the container, or wait for support of namespaces");
	}
}

static void find_unsupported_in_thread(const task_record &task, const task_attributes &attributes, Context &context)
{
	auto refuse = [&](std::string message, std::string hint) {
		context.refuse(name_of(task), std::move(message), std::move(hint));
	};
	if (task.flags & TASK_USER_WORKER && !(task.flags & (TASK_IO_WORKER | TASK_IO_SQ_THREAD)))
		refuse("is a kernel worker that is not io_uring's (vhost?)", "stop what uses it");
	if (task.flags & TASK_USER_WORKER)
		return;
	if (task.flags & TASK_PTRACED)
		refuse(fmt::format("is traced by pid {}", task.tracer), "let the debugger detach first");
	if (task.flags & TASK_DISPATCH)
		refuse("has system call user dispatch on (PR_SET_SYSCALL_USER_DISPATCH)", "start it without");
	if (task.vfork_done)
		refuse("still runs in its parent's vfork(2)", "try again when it has called execve(2) or ended");
	if (task.flags & TASK_IN_EXECVE)
		refuse("is inside execve(2)", "try again");
	if (task.compat_robust_list)
		refuse("has a 32-bit robust futex list", "bpfckpt handles 64-bit programs only");
	if (task.nested_count > TASK_NESTED_MAX)
		refuse(fmt::format("is {} PID namespaces deep", task.nested_count), "");
	find_unsupported_attributes(task, attributes, context);
}

static void find_unsupported_of_process(const process_record &process, const task_record &leader, Context &context)
{
	if (process.has_terminal && process.sid == process.pid)
		context.refuse(name_of(leader), "leads a session with a controlling terminal",
			       "start the program without a terminal (setsid, input and output to files)");
	if (process.restores_timer_ids)
		context.refuse(name_of(leader),
			       "is creating timers with IDs of its choice (PR_TIMER_CREATE_RESTORE_IDS)",
			       "try again when it is done");
}

static void find_endless_queue(const TaskIndex &index, uint64_t owner, const task_record &task, Context &context)
{
	auto queue = index.pending.find(owner);
	auto is_incomplete = [](const pending_record *signal) { return signal->flags & PENDING_INCOMPLETE; };
	if (queue != index.pending.end() && std::ranges::any_of(queue->second, is_incomplete))
		context.refuse(name_of(task), "has more pending signals than can be read",
			       "try again when it has taken some");
}

void find_unsupported(const process_record &process, const TaskIndex &index, Context &context)
{
	Threads threads = index.threads.at(process.pid);
	const task_record &leader = *threads.front();
	const task_record &living = living_thread(threads);
	find_unsupported_of_process(process, leader, context);
	for (const task_record *task : threads) {
		if (task->exit_state)
			continue;
		const task_common_record &common = index.records.common_of(*task);
		find_unsupported_in_thread(*task, common.attributes, context);
		find_endless_queue(index, task->task, *task, context);
		if (common.attributes.css_set != index.records.common_of(leader).attributes.css_set &&
		    !(task->flags & TASK_USER_WORKER))
			context.refuse(name_of(*task), "is in another cgroup than the first thread of its process",
				       "move all threads into one cgroup");
		if (!same_namespaces(common.namespaces, index.records.common_of(living).namespaces))
			find_foreign_namespaces(*task, common.namespaces, context);
	}
	find_endless_queue(index, process.signal, leader, context);
}

} // namespace bpfckpt::collect
