// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/signal.h"

#include <csignal>
#include <cstring>

#include <sys/syscall.h>

namespace bpfckpt::restore {

using target::SyscallBatch;

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

void add_pending_signals(SyscallBatch &batch, const images::Process &process)
{
	for (const images::PendingSignal &pending : process.pending_signals())
		batch.add(SYS_rt_sigqueueinfo, process.pid(), pending.signal(), batch.value(siginfo_of(pending)));
}

void add_pending_signals(SyscallBatch &batch, pid_t pid, const images::Thread &thread)
{
	for (const images::PendingSignal &pending : thread.pending_signals())
		batch.add(SYS_rt_tgsigqueueinfo, pid, thread.tid(), pending.signal(), batch.value(siginfo_of(pending)));
}

} // namespace bpfckpt::restore
