// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Timers against this machine: IDs that have to be counted, clocks that it lacks.
#include "user/restore/plan.h"

#include <csignal>
#include <set>

#include <sys/syscall.h>
#include <unistd.h>

namespace bpfckpt::restore {

static constexpr char kHint[] = "Linux 6.15 and newer make a timer with its ID at once; or raise --timer-id-limit";

static std::string duration(uint64_t ids)
{
	uint64_t seconds = ids / kTimerIdsPerSecond;
	return seconds < 120 ? fmt::format("{} s", seconds) : fmt::format("{} min", seconds / 60);
}

static void check_ids(const Plan &plan, uint64_t limit, Findings &findings)
{
	uint64_t total = 0;
	for (const images::Process &process : plan.document->processes()) {
		uint64_t ids = timer_id_steps(process);
		total += ids;
		if (ids == 0 || total <= limit)
			continue;
		const images::PosixTimer *timer = last_counted_timer(process);
		std::string object =
			timer ? fmt::format("timer {} of {}", timer->id(), name_of(process)) : name_of(process);
		findings.push_back(make_error(Code::kKernelLacks,
					      "this kernel gives timer IDs one after the other: {} have to be counted, "
					      "about {}, and --timer-id-limit is {}",
					      total, duration(total), limit)
					   .on(std::move(object))
					   .with_hint(kHint));
	}
}

// Alarm clocks need CAP_WAKE_ALARM and a real-time clock that can wake the machine (kernel/time/alarmtimer.c).
static void check_clocks(const Plan &plan, Findings &findings)
{
	std::set<int> refused;
	for (const images::Process &process : plan.document->processes()) {
		for (const images::PosixTimer &timer : process.timers()) {
			sigevent silent = {};
			silent.sigev_notify = SIGEV_NONE;
			int id = 0;
			if (timer.clock_id() < 0 || refused.contains(timer.clock_id()))
				continue;
			if (syscall(SYS_timer_create, timer.clock_id(), &silent, &id) == 0) {
				syscall(SYS_timer_delete, id);
				continue;
			}
			refused.insert(timer.clock_id());
			const char *hint = errno == EAGAIN ? "raise RLIMIT_SIGPENDING (ulimit -i)"
							   : "alarm clocks need CAP_WAKE_ALARM and a real-time clock";
			findings.push_back(errno_error(errno, "cannot be made on {} here", timer.clock())
						   .on(fmt::format("timer {} of {}", timer.id(), name_of(process)))
						   .with_hint(hint));
		}
	}
}

void check_timers(Plan &plan, const MachineOptions &options, Findings &findings)
{
	plan.count_timer_ids = options.count_timer_ids || !kernel_takes_timer_ids();
	if (plan.count_timer_ids)
		check_ids(plan, options.timer_id_limit, findings);
	check_clocks(plan, findings);
}

double timer_id_seconds(const Plan &plan)
{
	uint64_t total = 0;
	if (plan.count_timer_ids)
		for (const images::Process &process : plan.document->processes())
			total += timer_id_steps(process);
	return static_cast<double>(total) / kTimerIdsPerSecond;
}

} // namespace bpfckpt::restore
