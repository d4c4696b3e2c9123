// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/whole_process.h"

#include <algorithm>

#include <sys/resource.h>

#include "user/collect/file.h"

namespace bpfckpt::collect {

bool is_lean(const images::Process &process, const Context &context)
{
	return context.lean && !context.ring_users.contains(process.pid());
}

void note_ring_user(const process_record &process, const TaskIndex &index, Context &context)
{
	if (std::ranges::any_of(index.threads.at(process.pid), &task_record::io_uring))
		context.ring_users.insert(process.pid);
}

// Of others it matters what they may do (policy/opener.h).
static bool may_do_anything(const images::Credentials &credentials)
{
	return credentials.euid() == 0 && (credentials.cap_effective() & kOpenersPrivileges) == kOpenersPrivileges;
}

static void keep_lean(const images::Thread &whole, images::Thread &lean)
{
	lean.set_tid(whole.tid());
	lean.set_comm(whole.comm());
	lean.set_role(whole.role());
	lean.set_exit_status(whole.exit_status());
	lean.set_fd_table(whole.fd_table());
	lean.set_fs(whole.fs());
	if (!may_do_anything(whole.credentials()))
		*lean.mutable_credentials() = whole.credentials();
}

// The only thread of its process, of which nobody asks anything.
static bool goes_without_saying(const images::Process &whole)
{
	return whole.threads_size() == 1 && whole.threads(0).tid() == whole.pid() &&
	       whole.threads(0).role() == images::Thread::USER && may_do_anything(whole.threads(0).credentials());
}

// What a ring asks of the process (user/uring/worker_limits.h, restorable_polls.h).
static void keep_for_rings(images::Process &whole, images::Process &lean)
{
	lean.mutable_threads()->Swap(whole.mutable_threads());
	lean.mutable_pending_signals()->Swap(whole.mutable_pending_signals());
	for (const images::ResourceLimit &limit : whole.limits())
		if (limit.resource() == RLIMIT_NPROC)
			*lean.add_limits() = limit;
}

void keep_lean(images::Process whole, Context &context)
{
	images::Document &document = *context.document;
	images::Process &lean = *document.add_processes();
	lean.set_pid(whole.pid());
	lean.set_comm(whole.comm());
	lean.set_ppid(whole.ppid());
	lean.set_parent_tid(whole.parent_tid());
	lean.set_pgid(whole.pgid());
	lean.set_sid(whole.sid());
	lean.set_state(whole.state());
	lean.set_exit_signal(whole.exit_signal());
	lean.set_fd_table(whole.fd_table());
	lean.set_fs(whole.fs());
	lean.set_address_space(whole.address_space());
	lean.set_sighand(whole.sighand());
	lean.set_exe_file(whole.exe_file());
	if (!is_lean(whole, context)) {
		keep_for_rings(whole, lean);
	} else if (!goes_without_saying(whole)) {
		lean.mutable_threads()->Reserve(whole.threads_size());
		for (const images::Thread &thread : whole.threads())
			keep_lean(thread, *lean.add_threads());
	}
	if (document.processes_size() == 1) // bpfckpt's own, if it has those
		lean.mutable_namespaces()->Swap(whole.mutable_namespaces());
}

template <class Entry>
static Entry find(const std::vector<std::pair<uint32_t, Entry>> &entries, uint32_t number)
{
	auto it = std::ranges::lower_bound(entries, number, {}, &std::pair<uint32_t, Entry>::first);
	return it == entries.end() || it->first != number ? nullptr : it->second;
}

// Of those that are told twice the first one counts, as in collect_tasks().
static constexpr auto kByNumber = [](const auto &one, const auto &other) { return one.first < other.first; };

WholeProcesses::WholeProcesses(const iterators::TaskRecords &records, std::span<const fd_record> fds,
			       std::span<const ProcessPaths> paths, const target::FrozenTree *tree, Context &context)
	: paths_(paths), tree_(tree), context_(context), index_(records), fds_(fds, *context.document)
{
	processes_.reserve(records.processes.size());
	tasks_.reserve(records.tasks.size());
	stopped_.reserve(tree ? records.tasks.size() : 0);
	for (const process_record &record : records.processes)
		processes_.emplace_back(record.pid, &record);
	for (const task_record &record : records.tasks)
		tasks_.emplace_back(record.tid, &record);
	if (tree)
		for (const target::FrozenProcess &process : tree->processes())
			for (const target::FrozenThread &thread : process.threads)
				stopped_.emplace_back(static_cast<uint32_t>(thread.tid), &thread);
	std::ranges::stable_sort(processes_, kByNumber);
	std::ranges::stable_sort(tasks_, kByNumber);
	std::ranges::stable_sort(stopped_, kByNumber);
}

void WholeProcesses::complete(images::Process &process) const
{
	const process_record *record = find(processes_, process.pid());
	if (!record || !context_.lean)
		return;
	images::Process whole;
	collect_process(*record, index_, context_, &whole);
	if (const ProcessPaths *paths = paths_of(paths_, process.pid()))
		collect_paths(*paths, &whole);
	whole.set_cgroup(process.cgroup().empty() ? context_.document->processes(0).cgroup() : process.cgroup());
	whole.set_cwd_file(process.cwd_file());
	whole.set_next_timer_id(process.next_timer_id());
	collect_fds(fds_, context_, whole);
	whole.mutable_timers()->Swap(process.mutable_timers());
	whole.mutable_interval_timers()->Swap(process.mutable_interval_timers());
	auto threads = index_.threads.at(process.pid());
	if (threads.size() == 1)
		whole.add_threads()->set_tid(process.pid());
	process = std::move(whole);
}

void WholeProcesses::complete(const images::Process &process, images::Thread &thread) const
{
	const task_record *record = find(tasks_, thread.tid());
	if (!record || !is_lean(process, context_))
		return;
	images::Thread whole;
	collect_thread(*record, index_, context_, &whole);
	whole.set_role(thread.role());
	whole.set_exit_status(thread.exit_status());
	if (const target::FrozenThread *stopped = find(stopped_, thread.tid()))
		tree_->describe(*stopped, &whole);
	if (thread.has_syscall())
		*whole.mutable_syscall() = thread.syscall();
	if (thread.rseq().critical_section())
		whole.mutable_rseq()->set_critical_section(thread.rseq().critical_section());
	thread = std::move(whole);
}

void WholeProcesses::add_extended_registers(images::Thread &thread) const
{
	if (const target::FrozenThread *stopped = find(stopped_, thread.tid()))
		target::FrozenTree::add_extended_registers(*stopped, &thread);
}

static images::Process without_threads(images::Process &process)
{
	google::protobuf::RepeatedPtrField<images::Thread> threads;
	threads.Swap(process.mutable_threads());
	images::Process copy = process;
	threads.Swap(process.mutable_threads());
	return copy;
}

Result<> WholeProcesses::visit(const OnProcess &on_process, const OnThread &on_thread) const
{
	for (images::Process &process : *context_.document->mutable_processes()) {
		images::Process whole = without_threads(process);
		complete(whole);
		google::protobuf::RepeatedPtrField<images::Thread> only;
		only.Swap(whole.mutable_threads());
		TRY(on_process(whole));
		for (const images::Thread &thread : process.threads_size() ? process.threads() : only) {
			images::Thread completed = thread;
			complete(process, completed);
			TRY(on_thread(whole, completed));
		}
	}
	return {};
}

} // namespace bpfckpt::collect
