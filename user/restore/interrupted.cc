// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/interrupted.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <time.h>

#include "user/util/io.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::restore {

using target::Tracee;

static constexpr int64_t kRestartNoHand = -514;
static constexpr int64_t kRestartBlock = -516;
static constexpr int64_t kIntr = -4;

using Args = std::array<uint64_t, 6>;

static Args args_of(const images::InterruptedSyscall &call)
{
	Args args = {};
	for (int i = 0; i < std::min(call.args_size(), 6); i++)
		args[static_cast<size_t>(i)] = call.args(i);
	return args;
}

static timespec timespec_of(int64_t ns)
{
	ns = std::max<int64_t>(ns, 0);
	return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

static uint64_t milliseconds(int64_t ns)
{
	return static_cast<uint64_t>(std::max<int64_t>(ns, 0) + 999'999) / 1'000'000;
}

// Where the call has a pointer to a relative timespec; -1: none.
static int timespec_argument(const images::InterruptedSyscall &call)
{
	switch (call.nr()) {
	case SYS_nanosleep:
		return 0;
	case SYS_clock_nanosleep:
		return 2;
	case SYS_futex:
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		return 3;
	case SYS_rt_sigtimedwait:
		return 2;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return 4;
	default:
		return -1;
	}
}

// Makes a restart block: only the timeout may point to our memory, the kernel keeps the other pointers.
static Result<bool> arm(Tracee &tracee, const images::InterruptedSyscall &call)
{
	Args args = args_of(call);
	if (call.nr() == SYS_poll) {
		if (call.timed()) // it may have a timeout whose end nobody has seen
			args[2] = milliseconds(call.remaining_ns());
	} else if (int at = timespec_argument(call); at >= 0 && call.timed()) {
		timespec remaining = timespec_of(call.remaining_ns());
		TRY(tracee.write(tracee.slot().address, std::as_bytes(std::span(&remaining, 1))));
		args[static_cast<size_t>(at)] = tracee.slot().address;
		// An absolute FUTEX_WAIT_BITSET becomes the relative FUTEX_WAIT; what it stores is the same
		// (kernel/futex/waitwake.c).
		if (call.nr() == SYS_futex && (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
			return false;
	}
	return TRY(tracee.interrupt_in_call(call.nr(), args)) == kRestartBlock;
}

static bool is_restart_code(int64_t result)
{
	return result <= -512 && result >= kRestartNoHand;
}

// Of a relative timeout that the kernel reads when the call begins; 0: there is none, or it is not mapped.
static Result<uint64_t> timespec_address(const Tracee &tracee, const images::InterruptedSyscall &call)
{
	Args args = args_of(call);
	if (int at = timespec_argument(call); at >= 0)
		return args[static_cast<size_t>(at)];
	// Where the kernel could not write what remains, the program has its timeout still.
	if (call.nr() == SYS_ppoll)
		return args[2];
	if (call.nr() == SYS_pselect6 || call.nr() == SYS_select)
		return args[4];
	if (call.nr() != SYS_io_uring_enter || !(args[3] & IORING_ENTER_EXT_ARG))
		return 0;
	if (args[3] & kEnterExtArgReg)
		return call.wait_argument();
	io_uring_getevents_arg arg = {};
	TRY(tracee.read(args[4], std::as_writable_bytes(std::span(&arg, 1))));
	return arg.ts;
}

// Into `lent`, if the call has such a place.
static Result<> note_remaining(const Tracee &tracee, const images::InterruptedSyscall &call, int file,
			       LentTimeouts &lent)
{
	RemainingTime time = {.pid = tracee.pid(),
			      .tid = tracee.tid(),
			      .address = 0,
			      .socket = file,
			      .nr = call.nr(),
			      .remaining_ns = call.remaining_ns()};
	if (!target::socket_timeout_of(call.nr()))
		time.address = TRY(timespec_address(tracee, call));
	if (time.address || target::socket_timeout_of(call.nr()))
		lent.add(time);
	return {};
}

Result<user_regs_struct> final_registers(Tracee &tracee, const images::Thread &thread, int file, LentTimeouts &lent)
{
	user_regs_struct regs;
	memcpy(&regs, thread.prstatus().data(), sizeof(regs));
	if (!thread.has_syscall())
		return regs;
	const images::InterruptedSyscall &call = thread.syscall();
	int64_t result = call.result();
	if (call.resume() == images::InterruptedSyscall::AS_IS ||
	    (result != kIntr && result != kRestartBlock && !is_restart_code(result)))
		return regs;
	regs.orig_rax = call.nr();
	regs.rax = static_cast<uint64_t>(result);
	if (result == kRestartBlock) {
		if (!TRY(arm(tracee, call)))
			regs.rax = static_cast<uint64_t>(kRestartNoHand);
		return regs;
	}
	if (result == kIntr)
		regs.rax = static_cast<uint64_t>(kRestartNoHand);
	if (call.resume() != images::InterruptedSyscall::RESTART_REMAINING || !call.timed() || result != kIntr)
		return regs;
	if (call.nr() == SYS_epoll_wait || call.nr() == SYS_epoll_pwait)
		regs.r10 = milliseconds(call.remaining_ns());
	else
		TRY(note_remaining(tracee, call, file, lent));
	return regs;
}

Result<> set_final_state(Tracee &tracee, const images::Thread &thread, const user_regs_struct &regs)
{
	if (!thread.xstate().empty())
		TRY(tracee.set_extended_state(as_bytes(thread.xstate())));
	if (thread.has_rseq() && thread.rseq().address() && thread.rseq().critical_section()) {
		uint64_t section = thread.rseq().critical_section();
		TRY(tracee.write(thread.rseq().address() + 8, std::as_bytes(std::span(&section, 1))));
	}
	TRY(tracee.set_registers(regs));
	return tracee.set_signal_mask(thread.signal_mask());
}

void LentTimeouts::add(const RemainingTime &time)
{
	Key key = time.address ? Key(time.pid, time.address, -1, 0)
			       : Key(0, 0, time.socket, target::socket_timeout_of(time.nr));
	Place &place = places_[key];
	if (place.threads.empty() || time.remaining_ns > place.longest.remaining_ns)
		place.longest = time;
	place.threads.emplace_back(time.pid, time.tid);
}

void LentTimeouts::lend()
{
	for (auto &[key, place] : places_) {
		const RemainingTime &time = place.longest;
		for (auto [pid, tid] : place.threads)
			place.watches.emplace_back(pid, tid);
		if (!time.address) {
			place.of_socket = target::ShortenedSocketTimeout::of(time.socket, time.nr);
			if (place.of_socket && !place.of_socket->shorten(time.remaining_ns))
				place.of_socket.reset();
			continue;
		}
		place.in_memory = target::LentTimespec::at(time.tid, time.address, time.nr == SYS_select ? 1000 : 1);
		if (place.in_memory && !place.in_memory->lend(time.tid, time.remaining_ns))
			place.in_memory.reset();
	}
}

void LentTimeouts::give_back() const
{
	for (const auto &[key, place] : places_) {
		// Some microseconds on an idle machine; on a busy one the thread has to get a CPU first.
		for (const target::EntryWatch &watch : place.watches)
			(void)watch.wait(std::chrono::seconds(5));
		if (place.of_socket)
			place.of_socket->put_back();
		// By any thread: the others may have exited.
		for (const auto &[pid, tid] : place.threads)
			if (!place.in_memory || place.in_memory->give_back(tid))
				break;
	}
}

} // namespace bpfckpt::restore
