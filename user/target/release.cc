// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The ways out of the freeze: thaw, kill, stay stopped.
#include <algorithm>
#include <csignal>
#include <ranges>
#include <span>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/target/frozen_tree_state.h"
#include "user/target/loan_guard.h"
#include "user/target/resume_timeout.h"
#include "user/target/socket_timeout.h"
#include "user/target/thread_stop.h"
#include "user/util/pidfd.h"

namespace bpfckpt::target {

using Timeout = InterruptedSyscall::Timeout;

void FrozenTree::State::resolve_deadlines()
{
	if (deadlines_known || !options.deadline_of)
		return;
	deadlines_known = true;
	for_each_thread([this](FrozenProcess &, FrozenThread &thread) {
		if (!thread.syscall)
			return;
		auto deadline = options.deadline_of(thread.tid);
		if (deadline && deadline->clock < time_at_freeze.size())
			set_deadline(&*thread.syscall, *deadline, time_at_freeze[deadline->clock]);
		if (thread.syscall->timeout == Timeout::kTimespecRegistered && options.wait_argument_of)
			set_wait_argument(&*thread.syscall,
					  options.wait_argument_of(thread.tid, thread.syscall->message));
	});
}

// Lets it enter its call with the timeout that is there for this one time, and has that put back.
static void resume_with(const FrozenProcess &process, FrozenThread &thread, int64_t remaining,
			const std::function<void()> &put_back)
{
	enter_again(process.pid, thread.tid, remaining, put_back);
	thread.in_stop = thread.seized = false;
}

// A leader that has exited has no descriptors any more.
static UniqueFd copy_descriptor(const FrozenProcess &process, const FrozenThread &thread, int fd)
{
	UniqueFd own;
	if (process.threads.front().stop == FrozenThread::Stop::kDead)
		own = open_thread_pidfd(thread.tid);
	int pidfd = own.valid() ? own.get() : process.ref.fd();
	return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
}

// While all its kin are still stopped.
static void resume_socket_wait(const FrozenProcess &process, FrozenThread &thread, int64_t remaining, LoanGuard &guard)
{
	const images::InterruptedSyscall &call = thread.syscall->message;
	UniqueFd copy = copy_descriptor(process, thread, static_cast<int>(call.args(0)));
	auto timeout = ShortenedSocketTimeout::of(copy.get(), call.nr());
	if (!timeout)
		return;
	std::function<void()> put_back = [&] { timeout->put_back(); };
	LoanGuard::Hold hold(guard, put_back);
	if (timeout->shorten(remaining))
		resume_with(process, thread, remaining, put_back);
}

// A timeout in memory.
static void resume_timed_wait(const FrozenProcess &process, FrozenThread &thread, int64_t remaining, LoanGuard &guard)
{
	auto timeout = ShortenedTimeout::of(thread.tid, *thread.syscall);
	if (!timeout)
		return;
	// By the process, should the thread have ended meanwhile.
	std::function<void()> put_back = [&] {
		if (!timeout->put_back(thread.tid))
			(void)timeout->put_back(process.pid);
	};
	LoanGuard::Hold hold(guard, put_back);
	if (timeout->shorten(thread.tid, remaining))
		resume_with(process, thread, remaining, put_back);
}

// That of select(2) and its kin stays shortened, as they leave it.
static void shorten_for_good(const FrozenThread &thread, int64_t remaining)
{
	if (auto timeout = ShortenedTimeout::of(thread.tid, *thread.syscall))
		(void)timeout->shorten(thread.tid, remaining);
}

static int64_t remaining_of(const FrozenThread &thread)
{
	const images::InterruptedSyscall &call = thread.syscall->message;
	return call.deadline_ns() - now_on(call.clock());
}

static void resume_timeout(const FrozenThread &thread)
{
	const InterruptedSyscall &call = *thread.syscall;
	if (call.timeout == Timeout::kMillisecondsR10) {
		auto regs = call.resume_registers(thread.regs, remaining_of(thread));
		::ptrace(PTRACE_POKEUSER, thread.tid, offsetof(user_regs_struct, r10), regs.r10);
	} else if (call.timeout != Timeout::kNone) {
		shorten_for_good(thread, remaining_of(thread));
	}
}

static void resume_lent_timeout(const FrozenProcess &process, FrozenThread &thread, LoanGuard &guard)
{
	if (thread.syscall->timeout == Timeout::kSocket)
		resume_socket_wait(process, thread, remaining_of(thread), guard);
	else
		resume_timed_wait(process, thread, remaining_of(thread), guard);
}

// Timed calls that the kernel would start anew get what remains by now. First those that are let go one by one: each
// takes its time until it is asleep, which the others must not wait for with a timeout that was measured before.
void FrozenTree::State::resume_timeouts()
{
	std::optional<LoanGuard> guard;
	for (bool alone : {true, false}) {
		for_each_thread([alone, &guard](FrozenProcess &process, FrozenThread &thread) {
			if (!thread.in_stop || !thread.syscall || !thread.syscall->message.timed() ||
			    thread.syscall->timeout_is_lent() != alone)
				return;
			if (alone)
				resume_lent_timeout(process, thread, guard ? *guard : guard.emplace());
			else
				resume_timeout(thread);
		});
	}
}

// Those that cannot be detached because they never stopped are let go by the kernel when bpfckpt exits.
void FrozenTree::State::release()
{
	for_each_thread([this](FrozenProcess &, FrozenThread &thread) {
		if (thread.seized && !detach(thread.tid))
			ending.push_back(thread.tid);
		thread.seized = thread.in_stop = false;
	});
	// A leader's end is told after that of its threads.
	std::ranges::reverse(ending);
	take_ends();
	// Children whose parents died, so that they are nobody's descendants any more.
	for (pid_t child : auto_attached)
		if (!known_tids.contains(child) && ::waitpid(child, nullptr, __WALL | WNOHANG) == child)
			(void)detach(child);
	auto_attached.clear();
}

void FrozenTree::State::take_ends()
{
	std::erase_if(ending, take_end);
}

Result<> FrozenTree::State::thaw()
{
	if (!frozen)
		return {};
	auto start = Clock::now();
	frozen = false;
	resolve_deadlines();
	resume_timeouts();
	release();
	stats.thaw = Clock::now() - start;
	return {};
}

static Result<> send(const FrozenProcess &process, int signal)
{
	Result<> sent = process.zombie ? Result<>() : process.ref.signal(signal);
	if (sent || sent.error().code == Code::kGone)
		return {};
	return std::move(sent).error().with_hint(
		"CAP_KILL is missing: run bpfckpt as root, or leave the tree running (-R)");
}

Result<> FrozenTree::State::check_may_signal() const
{
	for (const FrozenProcess &process : processes)
		if (options.to_signal)
			TRY(send(process, 0));
	return {};
}

Result<> FrozenTree::State::leave_stopped()
{
	if (!frozen)
		return {};
	// Queued while all are still held, so that none gets back to user mode first.
	for (size_t i = 0; i < processes.size(); i++) {
		Result<> sent = processes[i].group_stopped ? Result<>() : send(processes[i], SIGSTOP);
		if (sent)
			continue;
		// Which takes what is queued back (kernel/signal.c: prepare_signal()).
		for (const FrozenProcess &earlier : std::span(processes).first(i))
			if (!earlier.group_stopped)
				(void)send(earlier, SIGCONT);
		return sent;
	}
	frozen = false;
	release();
	return {};
}

// Whether it has ended by then.
bool FrozenTree::State::reap_killed(const FrozenThread &thread, Clock::time_point deadline)
{
	for (;;) {
		int status;
		if (::waitpid(thread.tid, &status, __WALL) == thread.tid) {
			if (!WIFSTOPPED(status))
				return true;
		} else if (errno != EINTR) {
			return true;
		} else if (Clock::now() >= deadline) {
			return false;
		}
	}
}

Result<> FrozenTree::State::kill()
{
	if (!frozen)
		return {};
	TRY(check_may_signal());
	WaitTicks ticks = TRY(WaitTicks::create());
	resolve_deadlines();
	Result<> result;
	for (FrozenProcess &process : processes)
		if (auto sent = send(process, SIGKILL); !sent && result)
			result = std::move(sent);
	if (!result)
		return result;
	frozen = false;
	ticks.start();
	auto deadline = Clock::now() + options.exit_within;
	// A tracee's parent hears of its end when its tracer has; a leader's end is told last. The first process of a
	// PID namespace waits for all others of it (kernel/pid_namespace.c: zap_pid_ns_processes()): children first.
	for (FrozenProcess &process : processes | std::views::reverse) {
		for (FrozenThread &thread : process.threads | std::views::reverse) {
			if (thread.seized && reap_killed(thread, deadline))
				thread.seized = thread.in_stop = false;
		}
	}
	ticks.stop();
	release();
	for (FrozenProcess &process : processes)
		TRY(process.ref.wait_for_exit(deadline));
	return {};
}

} // namespace bpfckpt::target
