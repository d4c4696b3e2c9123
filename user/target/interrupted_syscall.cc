// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/interrupted_syscall.h"

#include <algorithm>

#include <linux/futex.h>
#include <sys/syscall.h>

#include "user/target/socket_timeout.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif

namespace bpfckpt::target {

namespace {

// include/linux/errno.h; they never reach user mode.
constexpr long kErestartSys = -512;
constexpr long kErestartNoIntr = -513;
constexpr long kErestartNoHand = -514;
constexpr long kErestartBlock = -516;

// include/uapi/linux/io_uring.h: IORING_REGISTER_SYNC_CANCEL, IORING_UNREGISTER_BUFFERS, IORING_UNREGISTER_FILES
constexpr uint64_t kRegisterSyncCancel = 24;
constexpr uint64_t kUnregisterBuffers = 1;
constexpr uint64_t kUnregisterFiles = 3;
constexpr uint64_t kUseRegisteredRing = uint64_t{1} << 31; // IORING_REGISTER_USE_REGISTERED_RING

constexpr uint64_t kEnterGetEvents = 1 << 0;
constexpr uint64_t kEnterExtArg = 1 << 3;
constexpr uint64_t kEnterAbsTimer = 1 << 5;
constexpr uint64_t kEnterExtArgReg = 1 << 6;

// Of io_uring_register(2): io_uring/cancel.c: io_sync_cancel(); before v6.13 io_rsrc_ref_quiesce().
bool waits(uint64_t opcode)
{
	return opcode == kRegisterSyncCancel || opcode == kUnregisterBuffers || opcode == kUnregisterFiles;
}

// Calls that say a plain -EINTR to any signal, and have done nothing by then. Sockets do so where they have a timeout
// (sock_intr_errno()), select and its kin where the time that remains cannot be written back (poll_select_finish()).
bool returns_plain_eintr(const user_regs_struct &regs)
{
	switch (regs.orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_select:
	case SYS_pselect6:
	case SYS_ppoll:
	case SYS_read:
	case SYS_readv:
	case SYS_preadv2:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_pwritev2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_fallocate: // of shmem, before v6.11 (mm/shmem.c: shmem_fallocate())
		return true;
	case SYS_io_uring_enter:
		return regs.r10 & kEnterGetEvents;
	case SYS_io_uring_register:
		return waits(regs.rsi & ~kUseRegisteredRing);
	default:
		return false;
	}
}

struct TimeoutPlace {
	InterruptedSyscall::Timeout kind = InterruptedSyscall::Timeout::kNone;
	uint64_t address = 0;
};

TimeoutPlace timeout_of(const user_regs_struct &regs)
{
	using Timeout = InterruptedSyscall::Timeout;
	auto memory = [](Timeout kind, uint64_t address) {
		return address ? TimeoutPlace{kind, address} : TimeoutPlace{};
	};
	switch (regs.orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return {static_cast<int32_t>(regs.r10) < 0 ? Timeout::kNone : Timeout::kMillisecondsR10, 0};
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		return memory(Timeout::kTimespec, regs.r10);
	case SYS_rt_sigtimedwait:
		return memory(Timeout::kTimespec, regs.rdx);
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return memory(Timeout::kTimespec, regs.r8);
	case SYS_ppoll:
		return memory(Timeout::kTimespecUpdated, regs.rdx);
	case SYS_pselect6:
		return memory(Timeout::kTimespecUpdated, regs.r8);
	case SYS_select:
		return memory(Timeout::kTimevalUpdated, regs.r8);
	case SYS_io_uring_enter:
		// With an absolute timer there is nothing to adjust.
		if (!(regs.r10 & kEnterExtArg) || regs.r10 & kEnterAbsTimer)
			return {};
		if (regs.r10 & kEnterExtArgReg)
			return {Timeout::kTimespecRegistered, 0};   // struct io_uring_reg_wait.ts
		return memory(Timeout::kTimespecIndirect, regs.r8); // struct io_uring_getevents_arg.ts
	default:
		return socket_timeout_of(static_cast<uint32_t>(regs.orig_rax)) ? TimeoutPlace{Timeout::kSocket, 0}
									       : TimeoutPlace{};
	}
}

// Restarted with its own arguments it ends when it would have ended.
bool timeout_is_absolute(const images::InterruptedSyscall &call)
{
	switch (call.nr()) {
	case SYS_clock_nanosleep:
		return call.args(1) & TIMER_ABSTIME;
	case SYS_futex:
		switch (call.args(1) & FUTEX_CMD_MASK) {
		case FUTEX_WAIT:
			return false;
		default:
			return true;
		}
	case SYS_io_uring_enter:
		return call.args(3) & kEnterAbsTimer;
	case SYS_futex_waitv:
	case SYS_futex_wait:
	case SYS_mq_timedsend:
	case SYS_mq_timedreceive:
		return true;
	default:
		return false;
	}
}

} // namespace

std::optional<InterruptedSyscall> analyse_stop(const user_regs_struct &regs, bool stopped_by_us)
{
	if (static_cast<long>(regs.orig_rax) < 0)
		return std::nullopt;
	InterruptedSyscall call;
	long result = static_cast<long>(regs.rax);
	call.message.set_nr(static_cast<uint32_t>(regs.orig_rax));
	call.message.set_result(result);
	for (uint64_t arg : {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9})
		call.message.add_args(arg);

	call.fix = stopped_by_us && result == -EINTR && returns_plain_eintr(regs);
	bool restart = call.fix || result == kErestartSys || result == kErestartNoIntr || result == kErestartNoHand ||
		       result == kErestartBlock;
	call.message.set_resume(restart ? images::InterruptedSyscall::RESTART : images::InterruptedSyscall::AS_IS);
	if (restart) {
		auto [kind, address] = timeout_of(regs);
		call.timeout = kind;
		call.timeout_address = address;
	}
	return call;
}

void set_deadline(InterruptedSyscall *syscall, const SleepDeadline &deadline, int64_t now_ns)
{
	images::InterruptedSyscall &message = syscall->message;
	if (message.resume() == images::InterruptedSyscall::AS_IS)
		return;
	int64_t remaining = deadline.ns - now_ns;
	message.set_timed(true);
	message.set_clock(deadline.clock);
	message.set_deadline_ns(deadline.ns);
	message.set_remaining_ns(remaining);
	// The kernel has written what remained into memory, where the restarted call reads it.
	bool updated = syscall->timeout == InterruptedSyscall::Timeout::kTimespecUpdated ||
		       syscall->timeout == InterruptedSyscall::Timeout::kTimevalUpdated;
	if (!timeout_is_absolute(message) && (!updated || syscall->fix))
		message.set_resume(images::InterruptedSyscall::RESTART_REMAINING);
}

void set_wait_argument(InterruptedSyscall *syscall, uint64_t address)
{
	syscall->timeout_address = address; // its first member is the time
	syscall->message.set_wait_argument(address);
}

bool InterruptedSyscall::timeout_is_lent() const
{
	switch (timeout) {
	case Timeout::kNone:
	case Timeout::kMillisecondsR10:
		return false;
	case Timeout::kTimespecUpdated:
	case Timeout::kTimevalUpdated:
		return fix; // fs/select.c: poll_select_finish() could not write, or may not (STICKY_TIMEOUTS)
	default:
		return true;
	}
}

user_regs_struct InterruptedSyscall::resume_registers(user_regs_struct regs, std::optional<int64_t> remaining_ns) const
{
	if (fix)
		regs.rax = static_cast<unsigned long long>(kErestartNoHand);
	if (timeout == Timeout::kMillisecondsR10 && remaining_ns) {
		// Rounded up: a timeout must never be early; and never longer than the program asked for.
		int64_t ms = (std::max<int64_t>(*remaining_ns, 0) + 999'999) / 1'000'000;
		regs.r10 = static_cast<unsigned long long>(std::min<int64_t>(ms, static_cast<int32_t>(regs.r10)));
	}
	return regs;
}

} // namespace bpfckpt::target
