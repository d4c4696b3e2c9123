// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/freeze_checks.h"

#include <sys/capability.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::target {

namespace {

std::string name(pid_t pid, const TaskStat &stat)
{
	return fmt::format("pid {} ({})", pid, stat.comm);
}

Result<> check_not_us(pid_t root, const TaskStat &stat)
{
	if (root == ::getpid())
		return make_error(Code::kUsage, "is bpfckpt itself")
			.on(name(root, stat))
			.with_hint("give the process ID of the tree to dump");
	for (pid_t pid = ::getpid(); pid > 1;) {
		TaskStat ours = TRY(read_task_stat(fmt::format("/proc/{}/stat", pid)));
		if (ours.ppid == root)
			return make_error(Code::kUsage, "is an ancestor of bpfckpt, which would stop itself")
				.on(name(root, stat))
				.with_hint(
					"start bpfckpt outside of that tree, for example: setsid --fork bpfckpt ...");
		pid = ours.ppid;
	}
	return {};
}

bool has_capability(cap_value_t capability)
{
	cap_t caps = ::cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;
	if (caps) {
		::cap_get_flag(caps, capability, CAP_EFFECTIVE, &value);
		::cap_free(caps);
	}
	return value == CAP_SET;
}

// The files of /proc that only somebody who may trace the process can read (ptrace_may_access()).
Result<> check_access(pid_t root, const TaskStat &stat)
{
	if (!read_link(fmt::format("/proc/{}/ns/pid", root)) && !has_capability(CAP_SYS_PTRACE))
		return make_error(Code::kPermission, "may not be traced by uid {}", ::geteuid())
			.on(name(root, stat))
			.with_hint("CAP_SYS_PTRACE is missing: run bpfckpt as root");
	// Without it the kernel leaves out some of what it tells, and does not say so: trusted extended attributes
	// (fs/xattr.c: simple_xattr_list()), frame numbers of pages (fs/proc/task_mmu.c: pagemap_open()).
	if (!has_capability(CAP_SYS_ADMIN))
		return make_error(Code::kPermission, "has state that only CAP_SYS_ADMIN shows")
			.on(name(root, stat))
			.with_hint("CAP_SYS_ADMIN is missing: run bpfckpt as root");
	return {};
}

} // namespace

Result<TaskStat> find_process(pid_t root)
{
	auto stat = read_task_stat(fmt::format("/proc/{}/stat", root));
	if (root <= 0 || !stat)
		return make_error(Code::kGone, "no such process")
			.on(fmt::format("pid {}", root))
			.with_hint("process IDs are those of bpfckpt's own PID namespace: run it where `ps` shows this "
				   "one");
	if (stat->kernel_thread())
		return make_error(Code::kUsage, "is a kernel thread")
			.on(name(root, *stat))
			.with_hint("only processes of user space have a state to show or to dump");
	if (auto leader = list_threads(root); leader && !leader->empty() && leader->front() != root)
		return make_error(Code::kUsage, "is a thread of pid {}", leader->front())
			.on(name(root, *stat))
			.with_hint(fmt::format("use -t {}", leader->front()));
	return *stat;
}

Result<> check_may_freeze(pid_t root)
{
	TaskStat stat = TRY(find_process(root));
	TRY(check_not_us(root, stat));
	if (stat.dead() && stat.num_threads <= 1)
		return make_error(Code::kGone, "is a zombie: it has exited, and its parent has not waited")
			.on(name(root, stat))
			.with_hint(fmt::format("zombies come back with their parents: use -t {}", stat.ppid));
	if (pid_t tracer = tracer_of(root).value_or(0)) {
		auto by = read_task_stat(fmt::format("/proc/{}/stat", tracer));
		return make_error(Code::kUnsupported, "is traced by {}",
				  by ? name(tracer, *by) : fmt::format("pid {}", tracer))
			.on(name(root, stat))
			.with_hint("end the debugger or tracer, then try again");
	}
	return check_access(root, stat);
}

} // namespace bpfckpt::target
