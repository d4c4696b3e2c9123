// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/task.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "user/collect/task_parts.h"
#include "user/collect/whole_process.h"
#include "user/util/io.h"
#include "user/util/pidfd.h"

namespace bpfckpt::collect {

constexpr uint32_t kSchedDeadline = 6;
constexpr uint32_t kDeadlineFlags = 6; // SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN
// include/linux/sched/signal.h
constexpr uint32_t kSignalStopStopped = 1 << 0;
constexpr uint32_t kSignalGroupExit = 1 << 2;
// include/linux/mm_types.h: MMF_DUMPABLE_BITS, MMF_DUMP_FILTER_BITS
constexpr uint64_t kDumpableMask = 3;
constexpr unsigned kDumpFilterShift = 2;
constexpr uint64_t kDumpFilterMask = (1 << 9) - 1;

// Of what is there, as far as it is known without asking a server.
static bool look_at(const std::string &path, struct statx &found)
{
	constexpr int kFlags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
	return ::statx(AT_FDCWD, path.c_str(), kFlags, STATX_BASIC_STATS | STATX_MNT_ID, &found) == 0;
}

static bool is_same(const struct statx &one, const struct statx &other)
{
	return one.stx_ino == other.stx_ino && one.stx_dev_major == other.stx_dev_major &&
	       one.stx_dev_minor == other.stx_dev_minor;
}

// A directory may have a name that ends like that.
static void describe_deleted_cwd(unsigned tid, const MountTable &mounts, ProcessPaths &paths)
{
	struct statx found = {};
	struct statx named = {};
	if (!paths.cwd.ends_with(kDeletedMark) || !look_at(fmt::format("/proc/{}/cwd", tid), found))
		return;
	MountTable::Way way = mounts.way_to(paths.cwd);
	if (way.local)
		paths.cwd_deleted = !look_at(paths.cwd, named) || !is_same(found, named);
	else
		paths.cwd_deleted = found.stx_nlink == 0;
	paths.cwd_lost = way.filesystem == "proc";
	paths.cwd_mode = found.stx_mode;
	paths.cwd_uid = found.stx_uid;
	paths.cwd_gid = found.stx_gid;
	paths.cwd_device = makedev(found.stx_dev_major, found.stx_dev_minor);
	paths.cwd_inode = found.stx_ino;
}

// Whether a directory of /proc/PID is not what its name leads to.
static bool is_astray(unsigned tid, const char *link, const std::string &name, const MountTable &mounts)
{
	struct statx held = {};
	struct statx named = {};
	if (name.empty() || !look_at(fmt::format("/proc/{}/{}", tid, link), held))
		return false;
	MountTable::Way way = mounts.way_to(name);
	// A name with that mark may be its own, or what is left of another: only the server knows.
	if (!way.local)
		return name.ends_with(kDeletedMark) || (way.mount && held.stx_mnt_id != way.mount);
	return !look_at(name, named) || !is_same(held, named) || held.stx_mnt_id != named.stx_mnt_id;
}

// By the thread to ask: the leader, unless it has exited. /proc/TID is there for each, though not listed.
static std::map<unsigned, unsigned> threads_with_paths(std::span<const task_record> tasks)
{
	std::map<unsigned, unsigned> tids;
	for (const task_record &task : tasks)
		if (!task.exit_state && (task.tid == task.pid || !tids.contains(task.pid)))
			tids[task.pid] = task.tid;
	return tids;
}

std::vector<ProcessPaths> read_process_paths(std::span<const task_record> tasks, const MountTable &mounts)
{
	std::vector<ProcessPaths> result;
	for (auto [pid, tid] : threads_with_paths(tasks)) {
		auto link = [tid](const char *name) {
			return read_link(fmt::format("/proc/{}/{}", tid, name)).value_or("");
		};
		ProcessPaths &paths = result.emplace_back();
		paths.pid = pid;
		paths.cwd = link("cwd");
		paths.root = link("root");
		paths.exe = link("exe");
		describe_deleted_cwd(tid, mounts, paths);
		paths.cwd_astray = !paths.cwd_deleted && is_astray(tid, "cwd", paths.cwd, mounts);
		paths.root_astray = is_astray(tid, "root", paths.root, mounts);
	}
	return result;
}

std::vector<unsigned> descendants(std::span<const tree_record> tasks, unsigned root)
{
	// By the pid, once: the pass goes over a running system, and a number may be used again meanwhile.
	std::unordered_map<unsigned, std::vector<unsigned>> children;
	std::unordered_set<unsigned> seen = {root};
	bool found = false;
	for (const tree_record &task : tasks) {
		if (task.tid != task.pid || task.pid == 0)
			continue;
		found |= task.pid == root;
		if (seen.insert(task.pid).second)
			children[task.ppid].push_back(task.pid);
	}
	std::vector<unsigned> result;
	if (!found)
		return result;
	result.push_back(root);
	for (size_t i = 0; i < result.size(); i++) {
		auto it = children.find(result[i]);
		if (it == children.end())
			continue;
		std::ranges::sort(it->second);
		result.insert(result.end(), it->second.begin(), it->second.end());
	}
	return result;
}

std::string name_of(const task_record &task)
{
	std::string comm(task.comm, strnlen(task.comm, sizeof(task.comm)));
	if (task.tid == task.pid)
		return fmt::format("pid {} ({})", task.pid, comm);
	return fmt::format("thread {} ({}) of pid {}", task.tid, comm, task.pid);
}

static images::Thread::Role role_of(const task_record &task)
{
	if (task.flags & TASK_IO_WORKER)
		return images::Thread::IO_URING_WORKER;
	if (task.flags & TASK_IO_SQ_THREAD)
		return images::Thread::IO_URING_SQ_THREAD;
	return images::Thread::USER;
}

std::string affinity_of(std::span<const __u64> cpus, unsigned cpu_count)
{
	std::string mask(reinterpret_cast<const char *>(cpus.data()), cpus.size_bytes());
	mask.resize(std::min<size_t>(mask.size(), (cpu_count + 7) / 8));
	if (cpu_count % 8 && mask.size() == (cpu_count + 7) / 8)
		mask.back() = static_cast<char>(mask.back() & ((1 << cpu_count % 8) - 1));
	mask.resize(mask.find_last_not_of('\0') + 1);
	return mask;
}

static std::vector<__u64> cpus_of(const task_record &task, const iterators::TaskRecords &records)
{
	std::vector<__u64> words;
	for (size_t i = task.first_cpu_word; i < records.cpu_words.size() && words.size() * 64 < records.cpu_count; i++)
		words.push_back(records.cpu_words[i].word);
	return words;
}

static void collect_scheduling(const task_record &task, const iterators::TaskRecords &records,
			       images::Scheduling *message)
{
	message->set_policy(task.policy);
	message->set_nice(task.nice);
	message->set_priority(task.rt_priority);
	// What remains of an earlier deadline policy means nothing.
	if (task.policy == kSchedDeadline) {
		message->set_runtime_ns(task.dl_runtime);
		message->set_deadline_ns(task.dl_deadline);
		message->set_period_ns(task.dl_period);
		message->set_deadline_flags(task.dl_flags & kDeadlineFlags);
	} else {
		message->set_runtime_ns(records.common_of(task).attributes.slice_ns);
	}
	message->set_reset_on_fork(task.flags & TASK_RESET_ON_FORK);
	message->set_ioprio(task.ioprio);
	message->set_affinity(affinity_of(cpus_of(task, records), records.cpu_count));
}

static void collect_user_pointers(const task_record &task, images::Thread *message)
{
	// SS_DISABLE is the absence of a stack; the kernel keeps it in the flags.
	if (task.altstack_size) {
		message->mutable_altstack()->set_sp(task.altstack_sp);
		message->mutable_altstack()->set_size(task.altstack_size);
		message->mutable_altstack()->set_flags(task.altstack_flags);
	}
	message->set_clear_child_tid(task.clear_child_tid);
	message->set_robust_list(task.robust_list);
	if (task.rseq) {
		message->mutable_rseq()->set_address(task.rseq);
		message->mutable_rseq()->set_length(task.rseq_length);
		message->mutable_rseq()->set_signature(task.rseq_signature);
	}
}

void collect_thread(const task_record &task, const TaskIndex &index, Context &context, images::Thread *message)
{
	message->set_tid(task.tid);
	message->set_comm(task.comm, strnlen(task.comm, sizeof(task.comm)));
	for (uint32_t i = 0; i < std::min<uint32_t>(task.nested_count, TASK_NESTED_MAX); i++)
		message->add_ns_tids(task.nested[i]);
	message->set_role(role_of(task));
	message->set_signal_mask(task.blocked);
	collect_pending(index, task.task, message->mutable_pending_signals());
	collect_user_pointers(task, message);
	collect_scheduling(task, index.records, message->mutable_scheduling());
	const task_common_record &common = index.records.common_of(task);
	collect_credentials(common.credentials, index.records.groups, message->mutable_credentials());
	message->mutable_credentials()->set_no_new_privs(task.flags & TASK_NO_NEW_PRIVS);
	message->mutable_credentials()->set_user_namespace(common.namespaces.user);
	message->set_seccomp_mode(task.seccomp_mode);
	message->set_timer_slack_ns(task.timer_slack_ns);
	message->set_parent_death_signal(task.pdeath_signal);
	message->set_personality(task.personality);
	collect_attributes(common.attributes, index.records.flag_bits, message);
	for (uint32_t i = 0; i < TASK_RINGS; i++) {
		if (!common.registered_rings[i])
			continue;
		images::RegisteredRing *ring = message->add_registered_rings();
		ring->set_index(i);
		ring->set_file(context.ids.files.id_of(common.registered_rings[i]));
	}
	message->set_fd_table(context.ids.fd_tables.id_of(task.files));
	message->set_fs(context.ids.fs.id_of(task.fs));
}

static void collect_state(const process_record &process, const task_record &leader, images::Process *message)
{
	if (leader.exit_state && process.live_threads == 0) {
		message->set_state(images::Process::ZOMBIE);
		// kernel/exit.c: wait_task_zombie()
		message->set_exit_status(process.signal_flags & kSignalGroupExit ? process.group_exit_code
										 : leader.exit_code);
	} else if (process.signal_flags & kSignalStopStopped) {
		message->set_state(images::Process::STOPPED);
		message->set_stop_signal(leader.stop_signal);
		// kernel/exit.c: wait_task_stopped() clears it for the parent that has seen the report.
		message->set_stop_reported(process.group_exit_code == 0);
	}
}

// Of which not the leader has its part any more once it has exited.
static void collect_shared(const task_record &living, const TaskIndex &index, Context &context,
			   images::Process *message)
{
	message->set_fd_table(context.ids.fd_tables.id_of(living.files));
	message->set_fs(context.ids.fs.id_of(living.fs));
	message->set_address_space(context.ids.address_spaces.id_of(living.mm));
	message->set_umask(living.umask);
	collect_namespaces(context, index.records.common_of(living).namespaces, message->mutable_namespaces());
}

void collect_process(const process_record &process, const TaskIndex &index, Context &context, images::Process *message)
{
	Threads threads = index.threads.at(process.pid);
	const task_record &leader = *threads.front();
	message->set_pid(process.pid);
	message->set_comm(leader.comm, strnlen(leader.comm, sizeof(leader.comm)));
	message->set_ppid(process.ppid);
	if (leader.parent_tid != process.ppid)
		message->set_parent_tid(leader.parent_tid);
	message->set_pgid(process.pgid);
	message->set_sid(process.sid);
	for (uint32_t i = 0; i < std::min<uint32_t>(leader.nested_count, TASK_NESTED_MAX); i++)
		message->add_ns_pids(leader.nested[i]);
	message->set_exit_signal(process.exit_signal);
	collect_state(process, leader, message);
	collect_shared(living_thread(threads), index, context, message);
	message->set_sighand(context.ids.sighands.id_of(leader.sighand));
	if (process.live_threads)
		context.ids.processes.emplace(process.signal, process.pid);
	message->set_exe_file(context.ids.files.id_of(process.exe_file));
	collect_actions(index, leader.sighand, message->mutable_signal_actions());
	collect_pending(index, process.signal, message->mutable_pending_signals());
	uint32_t resource = 0;
	for (const process_limit &limit : index.records.limits_of(process)) {
		images::ResourceLimit *limit_message = message->add_limits();
		limit_message->set_resource(resource++);
		limit_message->set_soft(limit.soft);
		limit_message->set_hard(limit.hard);
	}
	message->set_child_subreaper(process.child_subreaper);
	message->set_dumpable(process.mm_flags & kDumpableMask);
	message->set_coredump_filter(process.mm_flags >> kDumpFilterShift & kDumpFilterMask);
	message->set_oom_score_adj(process.oom_score_adj);
	if (leader.flags & TASK_LOGINUID)
		message->set_loginuid(leader.loginuid);
}

// The leader first.
static void collect_threads(const process_record &process, const TaskIndex &index, Context &context,
			    images::Process *message)
{
	Threads threads = index.threads.at(process.pid);
	for (const task_record *task : threads)
		collect_thread(*task, index, context, message->add_threads());
	const task_record &leader = *threads.front();
	if (leader.exit_state && process.live_threads) {
		message->mutable_threads(0)->set_role(images::Thread::EXITED_LEADER);
		message->mutable_threads(0)->set_exit_status(leader.exit_code);
	}
}

const ProcessPaths *paths_of(std::span<const ProcessPaths> paths, uint32_t pid)
{
	auto it = std::ranges::lower_bound(paths, pid, {}, &ProcessPaths::pid);
	return it == paths.end() || it->pid != pid ? nullptr : &*it;
}

void collect_paths(const ProcessPaths &paths, images::Process *message)
{
	message->set_cwd(paths.cwd);
	message->set_root(paths.root);
	message->set_exe(paths.exe);
}

static void check_paths(const ProcessPaths &paths, const images::Process &process, Context &context)
{
	auto refuse = [&](std::string message, std::string hint) {
		context.refuse(fmt::format("pid {} ({})", process.pid(), process.comm()), std::move(message),
			       std::move(hint));
	};
	if (paths.cwd_lost && paths.cwd_deleted)
		refuse(fmt::format("its working directory {} is that of a process that is gone", paths.cwd),
		       "let it change to another directory first");
	if (paths.cwd_astray)
		refuse(fmt::format("its working directory is not the one that {} leads to", paths.cwd),
		       "unmount what covers it, or let it change to a directory that has a name");
	if (paths.root.ends_with(kDeletedMark))
		refuse(fmt::format("its root directory {} is deleted", paths.root), "there is no way round it yet");
	else if (paths.root_astray)
		refuse(fmt::format("its root directory is not the one that {} leads to", paths.root),
		       "unmount what covers it, or wait for support of mount namespaces");
}

// Restore puts the whole tree where bpfckpt is.
static void check_cgroup(const task_record &root, const task_record &leader, const TaskIndex &index, Context &context)
{
	if (!leader.exit_state &&
	    index.records.common_of(leader).attributes.css_set != index.records.common_of(root).attributes.css_set)
		context.refuse(name_of(leader), fmt::format("is in another cgroup than {}", name_of(root)),
			       "move the whole tree into one cgroup, or stop what spreads it");
}

void collect_tasks(const iterators::TaskRecords &records, std::span<const ProcessPaths> paths, Context &context)
{
	TaskIndex index(records);
	std::vector<const process_record *> processes;
	std::unordered_set<uint32_t> seen;
	for (const process_record &process : records.processes) {
		// Without its leader: it ended between two passes over a running system.
		if (process.pid && index.threads.contains(process.pid) && seen.insert(process.pid).second)
			processes.push_back(&process);
	}
	for (const process_record *process : processes) {
		images::Process whole;
		collect_process(*process, index, context, &whole);
		collect_threads(*process, index, context, &whole);
		if (const ProcessPaths *found = paths_of(paths, process->pid)) {
			collect_paths(*found, &whole);
			check_paths(*found, whole, context);
		}
		if (note_ring_user(*process, index, context); context.lean)
			keep_lean(std::move(whole), context);
		else
			*context.document->add_processes() = std::move(whole);
		check_cgroup(*index.threads.at(processes.front()->pid).front(), *index.threads.at(process->pid).front(),
			     index, context);
		find_unsupported(*process, index, context);
	}
}

void collect_cgroups(Context &context)
{
	for (images::Process &process : *context.document->mutable_processes()) {
		std::string cgroup = read_file(fmt::format("/proc/{}/cgroup", process.pid())).value_or("");
		// Most are in the same one.
		if (!context.lean || cgroup != context.document->processes(0).cgroup())
			process.set_cgroup(std::move(cgroup));
	}
}

void refuse_unreachable_descriptors(Context &context)
{
	if (open_thread_pidfd(::getpid()).valid())
		return;
	for (const images::Process &process : context.document->processes())
		if (process.threads_size() && process.threads(0).role() == images::Thread::EXITED_LEADER)
			context.refuse(fmt::format("pid {} ({})", process.pid(), process.comm()),
				       "its first thread has exited: this kernel gives no access to its descriptors",
				       "a kernel from 6.9 on does");
}

} // namespace bpfckpt::collect
