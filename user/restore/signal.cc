// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/signal.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <unordered_map>

#include <sys/syscall.h>

#include "user/restore/timer.h"

namespace bpfckpt::restore {

using target::SyscallBatch;
using Queue = google::protobuf::RepeatedPtrField<images::PendingSignal>;

static constexpr int kSignals = 64;
static constexpr uint64_t kIgnore = 1;

namespace {
struct KernelAction { // struct sigaction of the kernel (arch/x86/include/uapi/asm/signal.h)
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};
} // namespace

static KernelAction action_of(const images::Process &process, uint32_t signal)
{
	for (const images::SignalAction &action : process.signal_actions())
		if (action.signal() == signal)
			return {action.handler(), action.flags(), action.restorer(), action.mask()};
	return {};
}

void add_signal_actions(SyscallBatch &batch, const images::Process &process)
{
	for (int signal = 1; signal <= kSignals; signal++) {
		if (signal == SIGKILL || signal == SIGSTOP || signal == SIGTRAP)
			continue;
		KernelAction action = action_of(process, static_cast<uint32_t>(signal));
		if (signal == SIGCHLD && action.handler != kIgnore)
			batch.add(SYS_rt_sigaction, signal, batch.value(KernelAction{kIgnore, 0, 0, 0}), 0,
				  sizeof(uint64_t));
		batch.add(SYS_rt_sigaction, signal, batch.value(action), 0, sizeof(uint64_t));
	}
}

Result<> restore_sigtrap(target::Tracee &leader, const images::Process &process)
{
	KernelAction action = action_of(process, SIGTRAP);
	TRY(leader.write(leader.slot().address, std::as_bytes(std::span(&action, 1))));
	uint64_t args[] = {SIGTRAP, leader.slot().address, 0, sizeof(uint64_t)};
	int64_t result = TRY(leader.call_to_exit_stop(SYS_rt_sigaction, args));
	if (result)
		return errno_error(static_cast<int>(-result), "cannot set the action of SIGTRAP").on(name_of(process));
	return {};
}

// One without siginfo was sent when the queue was full; it gets what kill(2) would have given.
static siginfo_t siginfo_of(const images::PendingSignal &pending)
{
	siginfo_t info = {};
	if (pending.siginfo().size() == sizeof(info))
		memcpy(&info, pending.siginfo().data(), sizeof(info));
	info.si_signo = static_cast<int>(pending.signal());
	info.si_code = pending.code();
	return info;
}

namespace {

// The timers of a process by their IDs, if a signal of one of them is in the queue.
class QueuedTimers {
public:
	QueuedTimers(const images::Process &process, const Queue &queue)
	{
		if (std::ranges::all_of(queue, [](const auto &pending) { return pending.timer() < 0; }))
			return;
		for (const images::PosixTimer &timer : process.timers())
			timers_.emplace(timer.id(), &timer);
	}
	[[nodiscard]] const images::PosixTimer *find(const images::PendingSignal &pending) const
	{
		auto it = timers_.find(pending.timer());
		return it == timers_.end() ? nullptr : it->second;
	}

private:
	std::unordered_map<int64_t, const images::PosixTimer *> timers_;
};

} // namespace

// `tid`: whose queue it is; 0: that of the process.
static void add_queue(SyscallBatch &batch, const images::Process &process, const Queue &queue, uint32_t tid)
{
	QueuedTimers timers(process, queue);
	for (const images::PendingSignal &pending : queue) {
		const images::PosixTimer *timer = timers.find(pending);
		siginfo_t info = siginfo_of(pending);
		if (timer && expires_again(*timer)) {
			add_expired_timer(batch, *timer);
			continue;
		}
		// Counted by the kernel when the signal is taken; as it would have been at the capture.
		if (timer)
			info.si_overrun = static_cast<int>(std::min<int64_t>(timer->overrun(), INT32_MAX));
		if (tid)
			batch.add(SYS_rt_tgsigqueueinfo, process.pid(), tid, pending.signal(), batch.value(info));
		else
			batch.add(SYS_rt_sigqueueinfo, process.pid(), pending.signal(), batch.value(info));
	}
}

void add_pending_signals(SyscallBatch &batch, const images::Process &process)
{
	add_queue(batch, process, process.pending_signals(), 0);
}

void add_pending_signals(SyscallBatch &batch, const images::Process &process, const images::Thread &thread)
{
	add_queue(batch, process, thread.pending_signals(), thread.tid());
}

} // namespace bpfckpt::restore
