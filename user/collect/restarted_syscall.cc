// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/restarted_syscall.h"

#include <array>
#include <unordered_map>
#include <vector>

#include <sys/syscall.h>

#include "iterators/kernel_symbols.h"

namespace bpfckpt::collect {

namespace {

struct Restarted {
	images::Thread *thread;
	const task_record *task;
};

} // namespace

static std::vector<Restarted> find_restarted(std::span<const task_record> tasks, images::Document &document)
{
	std::unordered_map<uint32_t, const task_record *> by_tid;
	std::vector<Restarted> found;
	for (images::Process &process : *document.mutable_processes()) {
		for (images::Thread &thread : *process.mutable_threads()) {
			if (!thread.has_syscall() || thread.syscall().nr() != SYS_restart_syscall ||
			    thread.syscall().resume() == images::InterruptedSyscall::AS_IS)
				continue;
			if (by_tid.empty())
				for (const task_record &task : tasks)
					by_tid[task.tid] = &task;
			auto it = by_tid.find(thread.tid());
			found.push_back({&thread, it == by_tid.end() ? nullptr : it->second});
		}
	}
	return found;
}

// nanosleep(2) and clock_nanosleep(2) leave the same restart block (kernel/time/hrtimer.c: hrtimer_nanosleep()).
static bool name_sleep(const task_record &task, const CaptureTime &time, images::InterruptedSyscall &call)
{
	// It fell asleep after the deadlines were looked for; the stop has left its own in the block.
	if (!call.timed() && task.restart_clock >= 0 && task.restart_expires <= INT64_MAX) {
		call.set_timed(true);
		call.set_clock(static_cast<uint32_t>(task.restart_clock));
		call.set_deadline_ns(static_cast<int64_t>(task.restart_expires));
		call.set_remaining_ns(call.deadline_ns() - time.on(call.clock()));
		call.set_resume(images::InterruptedSyscall::RESTART_REMAINING);
	}
	if (!call.timed())
		return false;
	call.set_nr(SYS_clock_nanosleep);
	call.clear_args();
	for (uint64_t arg :
	     std::array<uint64_t, 6>{static_cast<uint64_t>(task.restart_clock), 0, 0, task.restart_rmtp, 0, 0})
		call.add_args(arg);
	return true;
}

// poll(2) and futex(2) keep their arguments in their registers.
static bool name_call(const std::string &function, const task_record &task, const CaptureTime &time,
		      images::InterruptedSyscall &call)
{
	if (function == "do_restart_poll")
		call.set_nr(SYS_poll);
	else if (function == "futex_wait_restart")
		call.set_nr(SYS_futex);
	else if (function == "hrtimer_nanosleep_restart")
		return name_sleep(task, time, call);
	else
		return false;
	return true;
}

// Entered again it would wait for its whole time once more, at the least. Only the kernel has the time that is left.
static bool lacks_deadline(const images::InterruptedSyscall &call)
{
	bool endless = call.nr() == SYS_poll && call.args_size() > 2 && static_cast<int>(call.args(2)) < 0;
	return !call.timed() && !endless;
}

void name_restarted_syscalls(std::span<const task_record> tasks, Context &context)
{
	std::vector<Restarted> restarted = find_restarted(tasks, *context.document);
	if (restarted.empty())
		return;
	std::vector<uint64_t> addresses;
	for (const Restarted &one : restarted)
		if (one.task)
			addresses.push_back(one.task->restart_function);
	auto symbols = iterators::kernel_symbols(addresses);
	for (const Restarted &one : restarted) {
		std::string function;
		if (symbols && one.task)
			if (auto it = symbols->find(one.task->restart_function); it != symbols->end())
				function = it->second;
		if (!one.task || !name_call(function, *one.task, context.time, *one.thread->mutable_syscall()))
			context.refuse(fmt::format("thread {} ({})", one.thread->tid(), one.thread->comm()),
				       fmt::format("is inside restart_syscall(2) of {}",
						   function.empty() ? "an unknown call" : function),
				       symbols ? "try again when the call has ended" : symbols.error().message);
		else if (lacks_deadline(one.thread->syscall()))
			context.refuse(fmt::format("thread {} ({})", one.thread->tid(), one.thread->comm()),
				       "is inside a call that was restarted, and how long it still waits was not found",
				       "try again");
	}
}

} // namespace bpfckpt::collect
