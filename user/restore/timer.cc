// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/timer.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <vector>

#include <sys/syscall.h>
#include <sys/time.h>

#include "user/target/batch.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

static constexpr int kRestoreIds = 77; // PR_TIMER_CREATE_RESTORE_IDS, since 6.15
// About a minute of counting up where the kernel cannot be told the ID.
static constexpr uint64_t kMostSteps = 20'000'000;

static timespec timespec_of(int64_t ns)
{
	return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

static sigevent sigevent_of(const images::PosixTimer &timer)
{
	sigevent event = {};
	event.sigev_notify = timer.notify();
	event.sigev_signo = static_cast<int>(timer.signal());
	uint64_t value = timer.value();
	memcpy(&event.sigev_value, &value, sizeof(value));
	if (timer.notify() == images::PosixTimer::THREAD_ID)
		event._sigev_un._tid = static_cast<pid_t>(timer.notify_tid());
	return event;
}

// The CPU clock of "the calling thread" is that of the creator, which need not be the leader: it is named by its tid
// (include/linux/posix-timers_types.h: MAKE_THREAD_CPUCLOCK).
static int clock_of(const images::PosixTimer &timer, pid_t leader)
{
	int clock = timer.clock_id();
	bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && (clock & 4));
	if (of_thread && timer.clock_target() && static_cast<pid_t>(timer.clock_target()) != leader)
		return static_cast<int>(~timer.clock_target() << 3) | 4 | (clock < 0 ? clock & 3 : 2);
	return clock;
}

namespace {

struct Creation {
	int id;
	const images::PosixTimer *timer; // nullptr: only to move the counter, and deleted again
};

// The next automatic ID is the last created one plus one, so the one before `next` comes last
// (kernel/time/posix-timers.c).
std::vector<Creation> creations(const images::Process &process)
{
	std::vector<Creation> order;
	for (const images::PosixTimer &timer : process.timers())
		order.push_back({static_cast<int>(timer.id()), &timer});
	if (!process.next_timer_id())
		return order;
	auto last = static_cast<int>(process.next_timer_id()) - 1;
	auto it = std::ranges::find(order, last, &Creation::id);
	if (it == order.end())
		order.push_back({last, nullptr});
	else
		std::rotate(it, it + 1, order.end());
	return order;
}

} // namespace

static sigevent silent()
{
	sigevent event = {};
	event.sigev_notify = SIGEV_NONE;
	return event;
}

static void add_create(SyscallBatch &batch, const Creation &creation, pid_t leader)
{
	int clock = creation.timer ? clock_of(*creation.timer, leader) : CLOCK_MONOTONIC;
	sigevent event = creation.timer ? sigevent_of(*creation.timer) : silent();
	batch.add(SYS_timer_create, clock, batch.value(event), batch.value(creation.id));
	if (!creation.timer)
		batch.add(SYS_timer_delete, creation.id);
}

static void add_arm(SyscallBatch &batch, const images::PosixTimer &timer)
{
	if (!timer.armed() && timer.remaining_ns() <= 0)
		return;
	int64_t remaining = std::max<int64_t>(timer.remaining_ns(), 1);
	itimerspec spec = {.it_interval = timespec_of(timer.interval_ns()), .it_value = timespec_of(remaining)};
	batch.add(SYS_timer_settime, timer.id(), 0, batch.value(spec), 0);
}

// Without the prctl: IDs only go up, so timers are made and deleted until the wanted one comes.
static Result<> count_up(target::Tracee &leader, const images::Process &process, std::vector<Creation> order)
{
	std::ranges::sort(order, {}, &Creation::id);
	if (static_cast<uint64_t>(order.back().id) > kMostSteps)
		return make_error(Code::kKernelLacks, "timer {} cannot get its ID: this kernel can only count up to it",
				  order.back().id)
			.on(name_of(process))
			.with_hint("Linux 6.15 and newer set the ID at once (PR_TIMER_CREATE_RESTORE_IDS)");
	int next = 0;
	for (const Creation &wanted : order) {
		while (next <= wanted.id) {
			SyscallBatch batch;
			for (int n = 0; n < 500 && next <= wanted.id; n++, next++)
				add_create(batch, next == wanted.id ? wanted : Creation{next, nullptr}, leader.pid());
			TRY(batch.run(leader));
		}
	}
	return {};
}

static Result<> create_timers(target::Tracee &leader, const images::Process &process)
{
	std::vector<Creation> order = creations(process);
	if (order.empty())
		return {};
	SyscallBatch probe;
	size_t on = probe.add_optional(SYS_prctl, kRestoreIds, 1, 0, 0, 0);
	TRY(probe.run(leader));
	if (probe.result(on) < 0)
		return count_up(leader, process, std::move(order));
	SyscallBatch batch;
	for (const Creation &creation : order)
		add_create(batch, creation, leader.pid());
	batch.add(SYS_prctl, kRestoreIds, 0, 0, 0, 0);
	return batch.run(leader);
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

Result<> restore_timers(target::Tracee &leader, const images::Process &process)
{
	TRY(create_timers(leader, process));
	SyscallBatch batch;
	for (const images::PosixTimer &timer : process.timers())
		add_arm(batch, timer);
	for (const images::IntervalTimer &timer : process.interval_timers()) {
		itimerval value = {.it_interval = timeval_of(timer.interval_ns()),
				   .it_value = timeval_of(timer.remaining_ns())};
		batch.add(SYS_setitimer, which_of(timer.which()), batch.value(value), 0);
	}
	return batch.run(leader);
}

} // namespace bpfckpt::restore
