// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <sys/wait.h>

#include "user/cli/names.h"
#include "user/cli/view_parts.h"
#include "user/target/syscall_name.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

std::string what_it_does(const Process &process, const Thread &thread)
{
	if (thread.role() == Thread::IO_URING_SQ_THREAD)
		return "io_uring SQ thread";
	if (thread.role() == Thread::IO_URING_WORKER)
		return "io_uring worker";
	if (thread.role() == Thread::EXITED_LEADER)
		return "exited";
	if (process.state() == Process::ZOMBIE)
		return "zombie";
	if (!thread.has_syscall())
		return process.state() == Process::STOPPED ? "stopped" : "";
	const InterruptedSyscall &call = thread.syscall();
	std::string text = target::syscall_name(call.nr());
	if (call.timed())
		text += fmt::format(", {} left", human_duration(call.remaining_ns()));
	return text;
}

std::string scheduling_of(const Thread &thread)
{
	const Scheduling &scheduling = thread.scheduling();
	std::string text = scheduling_policy(scheduling.policy());
	if (scheduling.priority())
		text += fmt::format(" priority {}", scheduling.priority());
	if (scheduling.nice())
		text += fmt::format(" nice {}", scheduling.nice());
	return text;
}

std::string pending_of(const google::protobuf::RepeatedPtrField<PendingSignal> &signals)
{
	std::string text;
	for (const PendingSignal &signal : signals)
		text += (text.empty() ? "" : ",") + signal_name(signal.signal());
	return text;
}

Table threads_of(const Process &process)
{
	Table table(
		{{"TID", Table::Align::kRight}, {"NAME"}, {"IN"}, {"SCHEDULING"}, {"CPUS"}, {"BLOCKED"}, {"PENDING"}});
	for (const Thread &thread : process.threads())
		table.row({fmt::format("{}", thread.tid()), printable(thread.comm()), what_it_does(process, thread),
			   scheduling_of(thread), cpu_list(thread.scheduling().affinity()),
			   signal_set(thread.signal_mask()), pending_of(thread.pending_signals())});
	return table;
}

std::string state_of(const Process &process)
{
	switch (process.state()) {
	case Process::STOPPED:
		return fmt::format(", stopped by {}", signal_name(process.stop_signal()));
	case Process::ZOMBIE:
		if (WIFSIGNALED(process.exit_status()))
			return fmt::format(", zombie, killed by {}",
					   signal_name(static_cast<uint32_t>(WTERMSIG(process.exit_status()))));
		return fmt::format(", zombie, exited with {}", WEXITSTATUS(process.exit_status()));
	default:
		return "";
	}
}

std::string credentials_of(const Process &process)
{
	if (process.threads().empty() || !process.threads(0).has_credentials())
		return "";
	const Credentials &credentials = process.threads(0).credentials();
	std::string text = fmt::format("uid {} gid {}", credentials.uid(), credentials.gid());
	if (credentials.euid() != credentials.uid() || credentials.egid() != credentials.gid())
		text += fmt::format(", effective {} and {}", credentials.euid(), credentials.egid());
	text += ", capabilities " + capabilities(credentials.cap_effective());
	if (credentials.no_new_privs())
		text += ", no_new_privs";
	return text;
}

std::string handlers_of(const Process &process)
{
	std::string handled, ignored;
	for (const SignalAction &action : process.signal_actions()) {
		std::string &list = action.handler() == 1 ? ignored : handled;
		if (action.handler())
			list += (list.empty() ? "" : ",") + signal_name(action.signal());
	}
	if (!ignored.empty())
		handled += fmt::format("{}ignored: {}", handled.empty() ? "" : "; ", ignored);
	return handled;
}

std::string foreign_namespaces(const Process &process)
{
	std::string text;
	for (const Namespace &ns : process.namespaces())
		if (!ns.own())
			text += fmt::format("{}{}:[{}]", text.empty() ? "" : " ", printable(ns.type()), ns.inode());
	return text;
}

void view_process(View &view, const Process &process)
{
	view.heading(fmt::format("Process {} {}", process.pid(), printable(process.comm())) + state_of(process));
	view.field("tree",
		   fmt::format("parent {}, group {}, session {}", process.ppid(), process.pgid(), process.sid()));
	view.field("exe", printable(process.exe()));
	view.field("cwd", printable(process.cwd()));
	if (process.root() != "/")
		view.field("root", printable(process.root()));
	view.field("credentials", credentials_of(process));
	view.field("umask", process.state() == Process::ZOMBIE ? "" : fmt::format("{:04o}", process.umask()));
	view.field("handled", handlers_of(process));
	view.field("pending", pending_of(process.pending_signals()));
	view.field("namespaces", foreign_namespaces(process));
	if (process.child_subreaper())
		view.field("subreaper", "yes");
	view.table(threads_of(process));
	view.blank();
}

} // namespace

void view_tasks(View &view)
{
	for (const Process &process : view.document().processes())
		view_process(view, process);
}

} // namespace bpfckpt::cli
