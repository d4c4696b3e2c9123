// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The way into the freeze: seize all, interrupt all, wait for each by tid (a wait for "any" walks all children every
// time), and again until /proc shows nothing new. io_uring's SQ threads come last: others may have to wait for them to
// stop.
#include <algorithm>
#include <thread>

#include <elf.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "user/target/frozen_tree_state.h"
#include "user/target/thread_stop.h"
#include "user/target/tree_scan.h"
#include "user/util/kernel_clock.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK static_cast<__ptrace_request>(0x420a)
#endif

namespace bpfckpt::target {

using Stop = FrozenThread::Stop;
using Role = images::Thread::Role;

// How long a vfork(2) may last.
constexpr auto kVforkWithin = std::chrono::milliseconds(300);

// How long a failed freeze waits for threads that were told to stop, in order to release them.
constexpr auto kAbandonWithin = std::chrono::milliseconds(100);

int64_t now_on(uint32_t clock)
{
	return kernel_now(static_cast<clockid_t>(clock));
}

// One that is being replaced by an execve(2) of another thread refuses (EPERM) until it is.
Result<> FrozenTree::State::seize_one(const FrozenProcess &process, FrozenThread *thread)
{
	for (int attempt = 0;; attempt++) {
		auto seized = seize(thread->tid);
		if (seized) {
			thread->seized = true;
			thread->stop = Stop::kRunning;
			return {};
		}
		auto stat = read_thread_stat(process.pid, thread->tid);
		if (stat && stat->dead() && thread->tid == process.pid) {
			// A leader that has exited stays until its threads have exited too.
			thread->stop = Stop::kDead;
			return {};
		}
		if (!stat || stat->dead()) {
			lost_threads_ = true;
			thread->tid = 0;
			return {};
		}
		if (seized.error().code == Code::kUnsupported || attempt == 20)
			return seized;
		::sched_yield();
	}
}

Result<> FrozenTree::State::seize_new()
{
	Result<> result;
	for_each_thread([&](FrozenProcess &process, FrozenThread &thread) {
		if (result && !thread.seized && thread.stop == Stop::kRunning)
			result = seize_one(process, &thread);
	});
	return result;
}

Error FrozenTree::State::stuck(const FrozenProcess &process, const FrozenThread &thread) const
{
	auto stat = read_thread_stat(process.pid, thread.tid);
	bool vfork = inside_vfork(process.pid, thread.tid);
	auto seconds = std::chrono::duration<double>(options.timeout).count();
	return make_error(Code::kTimeout, "thread {} ({}) did not stop within {:g} s: {}state {}, in {}", thread.tid,
			  stat ? stat->comm : "?", seconds, vfork ? "inside vfork(2), " : "", stat ? stat->state : '?',
			  kernel_stack(process.pid, thread.tid))
		.on(fmt::format("pid {} ({})", process.pid, process.comm))
		.with_hint(vfork ? "try again when its child has called execve(2) or exited"
			   : stat && stat->state == 'R'
				   ? "it is busy in the kernel: try again, or give a longer --timeout"
				   : "it waits uninterruptibly, for example for a disk or a network file system: try "
				     "again, or give a longer --timeout");
}

// The child of a vfork(2): nobody but it can let its parent stop.
void FrozenTree::State::let_vfork_child_go(pid_t parent)
{
	for (pid_t child : auto_attached)
		if (!known_tids.contains(child))
			go_on_until_exec(child, WNOHANG);
	for (FrozenProcess &process : processes) {
		for (FrozenThread &thread : process.threads) {
			if (process.ppid != parent || !thread.seized)
				continue;
			if (thread.in_stop)
				::ptrace(PTRACE_CONT, thread.tid, 0, 0);
			else
				go_on_until_exec(thread.tid, WNOHANG);
			thread.in_stop = false;
			thread.stop = Stop::kRunning;
		}
	}
}

// A vfork(2) that lasts is refused before anything is stopped: its parent has no registers that could be read, and to
// stop the child would keep the parent from ever stopping. The usual one, before an execve(2), is over in a moment.
Result<> FrozenTree::State::wait_for_vforks()
{
	auto deadline = Clock::now() + std::min<std::chrono::nanoseconds>(options.timeout, kVforkWithin);
	Result<> result;
	for_each_thread([&](FrozenProcess &process, FrozenThread &thread) {
		while (result && thread.inside_vfork && inside_vfork(process.pid, thread.tid)) {
			if (Clock::now() >= deadline)
				result = make_error(Code::kUnsupported, "thread {} is inside vfork(2)", thread.tid)
						 .on(fmt::format("pid {} ({})", process.pid, process.comm))
						 .with_hint("try again when its child has called execve(2) or ended");
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
		}
	});
	return result;
}

Result<> FrozenTree::State::on_tick(FrozenProcess *process, FrozenThread *thread, Clock::time_point deadline)
{
	if (!abandoned_ && options.cancelled && options.cancelled())
		return make_error(Code::kBusy, "interrupted by a signal");
	auto stat = read_thread_stat(process->pid, thread->tid);
	if (stat && stat->dead()) {
		// A leader is not reported before its threads are gone, which we hold.
		thread->stop = Stop::kDead;
		return {};
	}
	if (stat && stat->state == 'D' && inside_vfork(process->pid, thread->tid))
		let_vfork_child_go(process->pid);
	if (Clock::now() >= deadline)
		return stuck(*process, *thread);
	// It may have been let go for the sake of a vfork(2).
	interrupt(thread->tid);
	return {};
}

Result<> FrozenTree::State::capture(const FrozenProcess &process, FrozenThread *thread, bool stopped_by_us)
{
	thread->in_stop = true;
	thread->stop = Stop::kTrapped;
	if (thread->role != images::Thread::USER)
		return {};
	iovec set = {&thread->regs, sizeof(thread->regs)};
	if (::ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &set) < 0)
		return errno_error(errno, "cannot read registers").on(fmt::format("thread {}", thread->tid));
	if (set.iov_len != sizeof(thread->regs))
		return make_error(Code::kUnsupported, "thread {} runs 32-bit code", thread->tid)
			.on(fmt::format("pid {} ({})", process.pid, process.comm))
			.with_hint("only 64-bit programs can be dumped");
	thread->syscall = analyse_stop(thread->regs, stopped_by_us);
	// At once: whoever kills us from here on does no harm to this thread.
	if (thread->syscall && thread->syscall->fix) {
		auto fixed = thread->syscall->resume_registers(thread->regs, std::nullopt);
		::ptrace(PTRACE_POKEUSER, thread->tid, offsetof(user_regs_struct, rax), fixed.rax);
		stats.fixed_syscalls++;
	}
	std::span<std::byte> room = xstates.scratch();
	iovec extended = {room.data(), room.size()};
	if (::ptrace(PTRACE_GETREGSET, thread->tid, NT_X86_XSTATE, &extended) < 0)
		return errno_error(errno, "cannot read extended registers").on(fmt::format("thread {}", thread->tid));
	thread->xstate = TRY(xstates.keep(extended.iov_len));
	::ptrace(PTRACE_GETSIGMASK, thread->tid, sizeof(thread->signal_mask), &thread->signal_mask);
	return {};
}

Result<> FrozenTree::State::wait_until_stopped(FrozenProcess *process, FrozenThread *thread, Clock::time_point deadline)
{
	while (thread->stop == Stop::kRunning) {
		ThreadStop stop = TRY(wait_for_stop(thread->tid));
		switch (stop.kind) {
		case ThreadStop::kTick:
			TRY(on_tick(process, thread, deadline));
			break;
		case ThreadStop::kGone:
			lost_threads_ = true;
			thread->tid = 0;
			return {};
		case ThreadStop::kNewChild:
			auto_attached.push_back(stop.child);
			break;
		case ThreadStop::kVfork:
			auto_attached.push_back(stop.child);
			go_on_until_exec(stop.child, 0);
			break;
		case ThreadStop::kGroupStopped:
			process->group_stopped = true;
			[[fallthrough]];
		case ThreadStop::kTrapped:
			TRY(capture(*process, thread, stop.kind == ThreadStop::kTrapped));
		}
	}
	return {};
}

Result<> FrozenTree::State::interrupt_and_wait(Role role, Clock::time_point deadline)
{
	auto waits = [role](const FrozenThread &thread) {
		return thread.role == role && thread.seized && thread.stop == Stop::kRunning;
	};
	for_each_thread([&](FrozenProcess &, FrozenThread &thread) {
		if (waits(thread))
			interrupt(thread.tid);
	});
	Result<> result;
	for_each_thread([&](FrozenProcess &process, FrozenThread &thread) {
		if (result && waits(thread))
			result = wait_until_stopped(&process, &thread, deadline);
	});
	return result;
}

// Whether the thread that has this tid now is the one whose stop was taken.
static bool is_in_the_same_stop(pid_t tid)
{
	siginfo_t info = {};
	if (::ptrace(PTRACE_GETSIGINFO, tid, 0, &info) < 0 && errno == ESRCH)
		return false;
	info = {};
	bool reported = ::waitid(P_PID, static_cast<id_t>(tid), &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
	return !reported || info.si_pid == 0;
}

// An execve(2) kills the other threads, stopped or not, and goes on under the leader's tid (fs/exec.c: de_thread()); a
// leader is a zombie for a moment before that. Whoever is not what we stopped is to be stopped (again).
bool FrozenTree::State::recheck_stops(bool leaders_only)
{
	bool replaced = false;
	for_each_thread([&](FrozenProcess &process, FrozenThread &thread) {
		if (thread.tid == 0 || (leaders_only && thread.tid != process.pid))
			return;
		bool other = thread.in_stop && !is_in_the_same_stop(thread.tid);
		if (thread.stop == Stop::kDead) {
			auto stat = read_thread_stat(process.pid, thread.tid);
			other = stat && !stat->dead();
		}
		if (!other)
			return;
		thread.seized = false;
		thread.in_stop = false;
		thread.stop = Stop::kRunning;
		replaced = true;
	});
	return replaced;
}

void FrozenTree::State::drop_gone()
{
	for (FrozenProcess &process : processes) {
		std::erase_if(process.threads, [](const FrozenThread &thread) { return thread.tid == 0; });
		if (process.threads.empty())
			process.zombie = true;
	}
	std::erase_if(processes, [](const FrozenProcess &process) {
		auto stat = read_task_stat(fmt::format("/proc/{}/stat", process.pid));
		return process.zombie && (!stat || stat->start_time != process.ref.start_time());
	});
	known_tids.clear();
	for_each_thread([this](FrozenProcess &, FrozenThread &thread) { known_tids.insert(thread.tid); });
}

bool FrozenTree::State::anything_running()
{
	bool running = false;
	for_each_thread([&](FrozenProcess &, FrozenThread &thread) { running |= thread.stop == Stop::kRunning; });
	return running;
}

Result<> FrozenTree::State::stop_everything(Clock::time_point deadline)
{
	for (bool again = true; again;) {
		stats.passes++;
		lost_threads_ = false;
		TRY(seize_new());
		if (stats.passes == 1 && options.before_interrupt)
			TRY(options.before_interrupt());
		TRY(interrupt_and_wait(images::Thread::USER, deadline));
		TRY(interrupt_and_wait(images::Thread::IO_URING_SQ_THREAD, deadline));
		if (recheck_stops(!lost_threads_)) {
			recheck_stops(false);
			changed = true;
		}
		if (lost_threads_) {
			drop_gone();
			changed = true;
		}
		size_t added = TRY(add_new_tasks());
		changed |= added > 0;
		again = added || anything_running();
		// Whoever makes tasks faster than we stop them is met by the same limit.
		if (again && Clock::now() >= deadline)
			return make_error(Code::kTimeout, "new threads or processes keep appearing")
				.on(fmt::format("pid {}", options.root));
	}
	FrozenProcess *root = process_of(options.root);
	if (!root || root->zombie)
		return make_error(Code::kGone, "exited before it could be stopped")
			.on(fmt::format("pid {}", options.root));
	return {};
}

void FrozenTree::State::note_time()
{
	for (uint32_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI})
		time_at_freeze[clock] = now_on(clock);
}

// Only who is stopped can be detached, and wait for what remains of its time.
void FrozenTree::State::abandon()
{
	abandoned_ = true;
	for_each_thread([](FrozenProcess &, FrozenThread &thread) {
		if (thread.seized && thread.tid && !thread.in_stop)
			interrupt(thread.tid);
	});
	auto deadline = Clock::now() + kAbandonWithin;
	for_each_thread([&](FrozenProcess &process, FrozenThread &thread) {
		if (thread.seized && thread.tid && !thread.in_stop)
			(void)wait_until_stopped(&process, &thread, deadline);
	});
	note_time();
	resolve_deadlines();
	resume_timeouts();
	release();
}

// What is left of one that has exited is no state to dump.
Result<> FrozenTree::State::check_root()
{
	FrozenProcess *root = process_of(options.root);
	if (root && std::ranges::any_of(root->threads, [](auto &thread) { return thread.stop == Stop::kTrapped; }))
		return {};
	return make_error(Code::kGone, "has exited meanwhile")
		.on(fmt::format("pid {}", options.root))
		.with_hint("dump a process that goes on running, or its parent");
}

Result<> FrozenTree::State::freeze()
{
	frozen_at = Clock::now();
	WaitTicks ticks = TRY(WaitTicks::create());
	ticks.start();
	auto stopped = stop_everything(frozen_at + options.timeout);
	if (stopped)
		stopped = check_root();
	if (stopped && changed)
		stopped = check_may_signal();
	if (!stopped) {
		abandon();
		ticks.stop();
		return stopped;
	}
	ticks.stop();
	frozen = true;
	note_time();
	stats.processes = processes.size();
	stats.threads = known_tids.size();
	stats.freeze = Clock::now() - frozen_at;
	return {};
}

} // namespace bpfckpt::target
