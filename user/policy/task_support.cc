// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/policy/task_support.h"

#include <csignal>

namespace bpfckpt::policy {

namespace {

std::string name_of(const images::Process &process)
{
	return fmt::format("pid {} ({})", process.pid(), process.comm());
}

std::string name_of(const images::Process &process, const images::Thread &thread)
{
	if (thread.tid() == process.pid())
		return name_of(process);
	return fmt::format("thread {} ({}) of pid {}", thread.tid(), thread.comm(), process.pid());
}

} // namespace

void TaskSupport::check(const images::Process &process)
{
	std::string object = name_of(process);
	for (const images::Namespace &ns : process.namespaces())
		if (!ns.own())
			refuse(object, fmt::format("is in another {} namespace (inode {})", ns.type(), ns.inode()),
			       "run bpfckpt inside of the container, or wait for support of namespaces");
	if (process.state() == images::Process::ZOMBIE)
		return;
	if (process.address_space()) {
		auto [it, first] = spaces_.emplace(process.address_space(), process.pid());
		if (!first)
			refuse(object, fmt::format("shares its memory with pid {} (CLONE_VM)", it->second),
			       "there is no way round it yet");
	}
	if (process.dumpable() == 2)
		refuse(object, "is dumpable for root only (PR_SET_DUMPABLE 2), which no process can ask for",
		       "set /proc/sys/fs/suid_dumpable to 0 or 1 and start it anew");
	check_pending(process.pending_signals(), object);
	// A thread can stand in for one that has exited (user/restore/timer.cc).
	constexpr int kPerThread = 4; // include/linux/posix-timers_types.h: CPUCLOCK_PERTHREAD_MASK
	for (const images::PosixTimer &timer : process.timers())
		if (timer.clock_gone() && !(timer.clock_id() & kPerThread))
			refuse(object,
			       fmt::format("has timer {}, of the CPU time of a process that has ended", timer.id()),
			       "let it delete the timer");
}

// It would end in the code that rebuilds the thread (user/restore/signal.cc).
void TaskSupport::check_pending(const google::protobuf::RepeatedPtrField<images::PendingSignal> &pending,
				const std::string &object)
{
	for (const images::PendingSignal &signal : pending)
		if (signal.signal() == SIGTRAP)
			refuse(object, "has SIGTRAP pending", "try again when it is delivered");
}

// Nobody but a process's first thread may send it such a signal in the name of another (kernel/signal.c:
// do_rt_sigqueueinfo()).
void TaskSupport::check_for_heirs(const images::Process &process)
{
	for (const images::PendingSignal &signal : process.pending_signals())
		if (signal.timer() < 0 && (signal.code() >= 0 || signal.code() == SI_TKILL))
			refuse(name_of(process),
			       fmt::format("has signal {} pending, and its first thread has ended", signal.signal()),
			       "try again when it is delivered");
}

void TaskSupport::check(const images::Process &process, const images::Thread &thread)
{
	if (process.state() == images::Process::ZOMBIE)
		return;
	if (thread.role() == images::Thread::EXITED_LEADER)
		check_for_heirs(process);
	if (thread.role() != images::Thread::USER)
		return;
	std::string object = name_of(process, thread);
	if (thread.seccomp_mode())
		refuse(object, thread.seccomp_mode() == 1 ? "is in seccomp strict mode" : "has seccomp filters",
		       "start it without seccomp");
	if (thread.fd_table() && thread.fd_table() != process.fd_table())
		refuse(object, "has an fd table of its own (unshare(CLONE_FILES))", "there is no way round it yet");
	if (thread.fs() && thread.fs() != process.fs())
		refuse(object, "has a working directory of its own (unshare(CLONE_FS))",
		       "there is no way round it yet");
	// What is not a process's first thread is told no more by restore (user/target/stub.h: kThreadSlot).
	constexpr int kMostGroups = 1000;
	if (thread.tid() != process.pid() && thread.credentials().groups_size() > kMostGroups)
		refuse(object,
		       fmt::format("has {} supplementary groups, and restore can give a thread {}",
				   thread.credentials().groups_size(), kMostGroups),
		       "there is no way round it yet");
	check_pending(thread.pending_signals(), object);
}

void refuse_unsupported_tasks(const images::Document &document, Findings &findings)
{
	TaskSupport support(findings);
	for (const images::Process &process : document.processes()) {
		support.check(process);
		for (const images::Thread &thread : process.threads())
			support.check(process, thread);
	}
}

} // namespace bpfckpt::policy
