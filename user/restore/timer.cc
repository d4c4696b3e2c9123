// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// A periodic timer whose signal is not taken stands still: overruns are counted, and it goes on, when the signal is
// delivered (kernel/time/posix-timers.c: common_hrtimer_rearm()). So one that is armed in the past, at the expiry that
// it waits for, is in every way where it was.
#include "user/restore/timer.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <optional>

#include <sys/syscall.h>
#include <sys/time.h>

#include "user/restore/timer_id.h"

namespace bpfckpt::restore {

using images::PosixTimer;
using target::SyscallBatch;
using target::Tracee;

static timespec timespec_of(int64_t ns)
{
	return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

static int64_t now_on(clockid_t clock)
{
	timespec now = {};
	clock_gettime(clock, &now);
	return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// Absolute expiry from which `periods` have passed without the one that comes next; nothing where the clock has not
// come that far, and for CPU clocks, which begin anew. A relative CLOCK_REALTIME timer would become one that follows
// the clock when it is set.
static std::optional<int64_t> rewound(const PosixTimer &timer, int64_t periods)
{
	if (timer.clock_id() < 0 || timer.clock_id() == CLOCK_THREAD_CPUTIME_ID ||
	    timer.clock_id() == CLOCK_PROCESS_CPUTIME_ID || timer.notify() == PosixTimer::NONE)
		return std::nullopt;
	if (timer.clock_id() == CLOCK_REALTIME && timer.armed() && !timer.absolute_ns())
		return std::nullopt;
	int64_t next = timer.absolute_ns();
	int64_t back = 0;
	int64_t expiry = 0;
	if ((next <= 0 && __builtin_add_overflow(now_on(timer.clock_id()), timer.remaining_ns(), &next)) ||
	    __builtin_add_overflow(periods, 1, &periods) ||
	    __builtin_mul_overflow(periods, timer.interval_ns(), &back) ||
	    __builtin_sub_overflow(next, back, &expiry) || expiry <= 0)
		return std::nullopt;
	return expiry;
}

static void add_settime(SyscallBatch &batch, const PosixTimer &timer, int flags, int64_t value)
{
	itimerspec spec = {.it_interval = timespec_of(timer.interval_ns()), .it_value = timespec_of(value)};
	batch.add(SYS_timer_settime, timer.id(), flags, batch.value(spec), 0);
}

static void add_arm(SyscallBatch &batch, const PosixTimer &timer)
{
	if (!timer.armed() && timer.remaining_ns() <= 0)
		return;
	if (timer.absolute_ns() > 0)
		add_settime(batch, timer, TIMER_ABSTIME, timer.absolute_ns());
	else
		add_settime(batch, timer, 0, std::max<int64_t>(timer.remaining_ns(), 1));
}

bool expires_again(const PosixTimer &timer)
{
	return timer.signal_pending() && rewound(timer, timer.overrun());
}

void add_expired_timer(SyscallBatch &batch, const PosixTimer &timer)
{
	if (timer.absolute_ns() > 0)
		return add_settime(batch, timer, TIMER_ABSTIME, timer.absolute_ns());
	// Once expired, one that is not periodic has nothing left: any time in the past will do.
	add_settime(batch, timer, TIMER_ABSTIME, rewound(timer, timer.overrun()).value_or(1));
}

static Tracee &receiver_of(Member &member, const PosixTimer &timer)
{
	if (timer.notify() == PosixTimer::THREAD_ID)
		for (ThreadMember &thread : member.threads)
			if (thread.image->tid() == timer.notify_tid())
				return thread.tracee;
	return member.leader;
}

// timer_getoverrun(2) tells of the last signal that was taken. There is no way to set that but to let as many periods
// pass and take one. Every signal is blocked here, no other timer is armed yet. False if it does not come out right:
// the timer may have expired again meanwhile.
static Result<bool> arm_with_overrun(Member &member, const PosixTimer &timer)
{
	std::optional<int64_t> expiry = rewound(timer, timer.overrun_last());
	if (!expiry)
		return false;
	SyscallBatch batch;
	uint64_t signal = 1ULL << (timer.signal() - 1);
	add_settime(batch, timer, TIMER_ABSTIME, *expiry);
	size_t taken = batch.add_optional(SYS_rt_sigtimedwait, batch.value(signal), 0,
					  batch.value(timespec{.tv_sec = 1, .tv_nsec = 0}), sizeof(signal));
	size_t overrun = batch.add_optional(SYS_timer_getoverrun, timer.id());
	TRY(batch.run(receiver_of(member, timer)));
	return batch.result(taken) == timer.signal() && batch.result(overrun) == timer.overrun_last();
}

static Result<> arm_timers(Member &member)
{
	const images::Process &process = *member.image;
	SyscallBatch batch;
	for (const PosixTimer &timer : process.timers()) {
		if (expires_again(timer))
			continue;
		bool told = timer.overrun_last() > 0 && timer.interval_ns() > 0 && !timer.signal_pending() &&
			    !timer.receiver_gone() && timer.signal() >= 1 && timer.signal() <= 64;
		if (!told || !TRY(arm_with_overrun(member, timer)))
			add_arm(batch, timer);
	}
	return batch.run(member.leader);
}

static int which_of(const std::string &which)
{
	if (which == "ITIMER_VIRTUAL")
		return ITIMER_VIRTUAL;
	return which == "ITIMER_PROF" ? ITIMER_PROF : ITIMER_REAL;
}

// Up to the next microsecond: 0 would disarm it.
static timeval timeval_of(int64_t ns)
{
	int64_t us = (ns + 999) / 1000;
	return {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
}

static bool is_of_exited_thread(const PosixTimer &timer)
{
	return timer.receiver_gone() || timer.clock_gone();
}

// timer_create(2) takes none but threads that are there: another one exits in place of those that have, and the timers
// keep its struct pid.
static Result<> create_all(Member &member, Tree &tree, bool count_ids, const Log &log)
{
	if (std::ranges::none_of(member.image->timers(), is_of_exited_thread))
		return create_timers(member.leader, *member.image, count_ids, log);
	Tracee stand_in = TRY(tree.start_helper(member.pid()));
	auto tid = static_cast<uint32_t>(stand_in.tid());
	images::Process process = *member.image;
	for (PosixTimer &timer : *process.mutable_timers()) {
		if (timer.receiver_gone())
			timer.set_notify_tid(tid);
		if (timer.clock_gone())
			timer.set_clock_target(tid);
	}
	TRY(create_timers(member.leader, process, count_ids, log));
	return Tree::end_helper(stand_in);
}

Result<> restore_timers(Member &member, Tree &tree, bool count_ids, const Log &log)
{
	TRY(create_all(member, tree, count_ids, log));
	TRY(arm_timers(member));
	SyscallBatch batch;
	for (const images::IntervalTimer &timer : member.image->interval_timers()) {
		itimerval value = {.it_interval = timeval_of(timer.interval_ns()),
				   .it_value = timeval_of(timer.remaining_ns())};
		batch.add(SYS_setitimer, which_of(timer.which()), batch.value(value), 0);
	}
	return batch.run(member.leader);
}

} // namespace bpfckpt::restore
