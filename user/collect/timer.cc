// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What a timer shows is what timer_gettime(2) and getitimer(2) would have said at the capture
// (kernel/time/posix-timers.c: common_timer_get(), posix-cpu-timers.c: __posix_cpu_timer_get()).
#include "user/collect/timer.h"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <ranges>
#include <unordered_map>

#include <fmt/format.h>

#include "user/util/saturate.h"

namespace bpfckpt::collect {

// Layout of a CPU clockid (include/linux/posix-timers_types.h).
constexpr int kPerThread = 4;
constexpr int kWhichMask = 3;
constexpr int kProf = 0;
constexpr int kVirt = 1;

static std::string name_of_cpu_clock(const timer_record &record)
{
	bool thread = record.clock & kPerThread;
	std::string name = thread ? "CLOCK_THREAD_CPUTIME_ID" : "CLOCK_PROCESS_CPUTIME_ID";
	if ((record.clock & kWhichMask) == kProf)
		name = thread ? "CPUCLOCK_PROF of a thread" : "CPUCLOCK_PROF";
	else if ((record.clock & kWhichMask) == kVirt)
		name = thread ? "CPUCLOCK_VIRT of a thread" : "CPUCLOCK_VIRT";
	if (thread || record.target != record.pid)
		name += fmt::format(" of {}", record.target);
	return name;
}

static std::string name_of_clock(const timer_record &record)
{
	if (record.flags & TIMER_CPU)
		return name_of_cpu_clock(record);
	switch (record.clock) {
	case CLOCK_REALTIME:
		return "CLOCK_REALTIME";
	case CLOCK_MONOTONIC:
		return "CLOCK_MONOTONIC";
	case CLOCK_BOOTTIME:
		return "CLOCK_BOOTTIME";
	case CLOCK_REALTIME_ALARM:
		return "CLOCK_REALTIME_ALARM";
	case CLOCK_BOOTTIME_ALARM:
		return "CLOCK_BOOTTIME_ALARM";
	case CLOCK_TAI:
		return "CLOCK_TAI";
	default:
		return fmt::format("clock {}", record.clock);
	}
}

static images::PosixTimer::Notify notify_of(const timer_record &record)
{
	if (record.notify & SIGEV_THREAD_ID)
		return images::PosixTimer::THREAD_ID;
	return static_cast<images::PosixTimer::Notify>(record.notify);
}

// Of a periodic timer that is due: whole periods go by until it expires next.
static int64_t next_expiry(int64_t remaining, int64_t interval)
{
	return interval - -remaining % interval;
}

void collect_timer(const timer_record &record, const CaptureTime &time, images::PosixTimer *message)
{
	message->set_id(record.id);
	message->set_clock(name_of_clock(record));
	message->set_clock_id(record.clock);
	message->set_clock_target(record.target);
	message->set_interval_ns(record.interval_ns);
	message->set_notify(notify_of(record));
	message->set_signal(record.notify == SIGEV_NONE ? 0 : record.signal);
	message->set_value(record.value);
	message->set_notify_tid(record.notify_tid);
	message->set_receiver_gone(record.flags & TIMER_NO_RECEIVER);
	message->set_clock_gone(record.flags & TIMER_NO_TARGET);
	message->set_signal_pending(record.flags & TIMER_SIGNAL_QUEUED);
	message->set_overrun_last(record.overrun_last);

	int64_t now = record.flags & TIMER_CPU ? record.cpu_now_ns : time.on(record.base_clock);
	int64_t remaining = saturating_sub(record.expires_ns, now);
	int64_t overrun = record.overrun;
	bool silent = record.notify == SIGEV_NONE;
	// Not queued, but running: its expiry stands where it was and moves on when somebody looks.
	if (record.interval_ns > 0 && remaining <= 0 && (silent || record.flags & TIMER_REQUEUE_PENDING)) {
		overrun = saturating_add(overrun, -remaining / record.interval_ns);
		overrun = saturating_add(overrun, 1);
		remaining = next_expiry(remaining, record.interval_ns);
	}
	// it_overrun is -1 as long as there is none.
	message->set_overrun(std::max<int64_t>(overrun, 0));
	bool armed = record.flags & TIMER_ARMED || record.interval_ns > 0;
	// Up to v6.11 one of a CPU clock keeps its interval when it is disarmed (kernel/time/posix-cpu-timers.c:
	// posix_cpu_timer_set()).
	if (record.flags & TIMER_CPU)
		armed = record.expires_ns != 0;
	if (silent)
		armed = record.expires_ns != 0 && remaining > 0;
	if (record.flags & TIMER_NO_TARGET)
		armed = false;
	message->set_armed(armed);
	message->set_remaining_ns(armed ? std::max<int64_t>(remaining, 0) : 0);
	// Relative ones run on CLOCK_MONOTONIC (common_hrtimer_arm()); other clocks do not tell which they were.
	if (armed && record.clock == CLOCK_REALTIME && record.base_clock == CLOCK_REALTIME)
		message->set_absolute_ns(record.expires_ns);
}

static void add_interval_timer(const char *which, int64_t interval, int64_t remaining, images::Process *process)
{
	// Expired, and queued again only when its signal is taken.
	if (remaining <= 0 && interval > 0)
		remaining = next_expiry(remaining, interval);
	images::IntervalTimer *message = process->add_interval_timers();
	message->set_which(which);
	message->set_interval_ns(interval);
	// 0 would say that it is disarmed; getitimer(2) never says so of one that is due (kernel/time/itimer.c).
	message->set_remaining_ns(std::max<int64_t>(remaining, 1));
}

static void collect_itimers(const itimer_record &record, const CaptureTime &time, images::Process *process)
{
	if (record.real_expires_ns)
		add_interval_timer("ITIMER_REAL", record.real_interval_ns,
				   saturating_sub(record.real_expires_ns, time.monotonic_ns), process);
	if (record.virtual_expires_ns)
		add_interval_timer("ITIMER_VIRTUAL", record.virtual_interval_ns,
				   saturating_sub(record.virtual_expires_ns, record.user_ns), process);
	if (record.prof_expires_ns)
		add_interval_timer(
			"ITIMER_PROF", record.prof_interval_ns,
			saturating_sub(record.prof_expires_ns, saturating_add(record.user_ns, record.system_ns)),
			process);
}

void collect_timers(const iterators::TimerRecords &records, Context &context)
{
	std::unordered_map<uint32_t, images::Process *> processes;
	for (images::Process &process : *context.document->mutable_processes())
		processes.emplace(process.pid(), &process);

	for (const itimer_record &record : records.itimers) {
		auto it = processes.find(record.pid);
		if (it == processes.end())
			continue;
		it->second->set_next_timer_id(record.next_id);
		collect_itimers(record, context.time, it->second);
		if (record.incomplete)
			context.refuse(fmt::format("pid {} ({})", record.pid, it->second->comm()),
				       fmt::format("has more than {} POSIX timers", record.timers), "");
	}
	// The kernel's list has the newest one first.
	for (const timer_record &record : records.timers | std::views::reverse) {
		auto it = processes.find(record.pid);
		if (it == processes.end())
			continue;
		collect_timer(record, context.time, it->second->add_timers());
		bool measures_process = (record.flags & (TIMER_CPU | TIMER_NO_TARGET)) == TIMER_CPU &&
					!(record.clock & kPerThread); // a thread is one of its own
		if (measures_process && record.target && !processes.contains(record.target))
			context.refuse(fmt::format("pid {} ({})", record.pid, it->second->comm()),
				       fmt::format("has timer {}, of the CPU time of pid {}, outside of the tree",
						   record.id, record.target),
				       "let it delete the timer, or dump the tree of both");
	}
}

} // namespace bpfckpt::collect
