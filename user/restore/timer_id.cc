// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/timer_id.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "user/restore/plan.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

using target::SyscallBatch;
using target::Tracee;

static constexpr int kRestoreIds = 77; // PR_TIMER_CREATE_RESTORE_IDS, since 6.15
static constexpr int kGet = 2;
static constexpr uint32_t kCircle = 1U << 31;
// IDs counted in one go: a fraction of a second, after which the time limit is looked at.
static constexpr uint64_t kStride = 200'000;
static constexpr std::chrono::seconds kReportEvery{2};
// IDs between two timers that are given and taken back by the way: to let the process count costs more than that.
static constexpr uint32_t kGap = 100;
static constexpr size_t kMostAtOnce = 4000; // timers, between two reports

bool kernel_takes_timer_ids()
{
	return prctl(kRestoreIds, kGet, 0, 0, 0) >= 0;
}

// The counter may stand at 2^31 (6.15, after INT_MAX) where older kernels wrap to 0 at once.
static uint32_t next_id_of(const images::Process &process)
{
	return process.next_timer_id() & (kCircle - 1);
}

// Distance of an ID from the source's next one, in the order in which IDs are given.
static uint32_t place_of(uint32_t id, uint32_t next)
{
	return (id - next) & (kCircle - 1);
}

static std::vector<const images::PosixTimer *> in_order(const images::Process &process)
{
	std::vector<const images::PosixTimer *> timers;
	for (const images::PosixTimer &timer : process.timers())
		timers.push_back(&timer);
	uint32_t next = next_id_of(process);
	std::ranges::sort(timers, {}, [next](const images::PosixTimer *timer) { return place_of(timer->id(), next); });
	return timers;
}

uint64_t timer_id_steps(const images::Process &process)
{
	uint32_t next = next_id_of(process);
	bool wraps = std::ranges::any_of(process.timers(),
					 [next](const images::PosixTimer &timer) { return timer.id() >= next; });
	return next + (wraps ? uint64_t{kCircle} : 0);
}

const images::PosixTimer *last_counted_timer(const images::Process &process)
{
	return process.timers_size() ? in_order(process).back() : nullptr;
}

// The CPU clock of "the calling thread" is that of the creator, which need not be the leader: it is named by its tid
// (include/linux/posix-timers_types.h: MAKE_THREAD_CPUCLOCK).
static int clock_of(const images::PosixTimer &timer, pid_t creator)
{
	int clock = timer.clock_id();
	bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && (clock & 4));
	if (of_thread && timer.clock_target() && static_cast<pid_t>(timer.clock_target()) != creator)
		return static_cast<int>(~timer.clock_target() << 3) | 4 | (clock < 0 ? clock & 3 : 2);
	return clock;
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

// The next automatic ID is the last created one plus one, so the one before it comes last
// (kernel/time/posix-timers.c: posix_timer_add()).
static Result<> create_with_ids(Tracee &leader, const images::Process &process)
{
	std::vector<const images::PosixTimer *> order = in_order(process);
	uint32_t last = (next_id_of(process) - 1) & (kCircle - 1);
	SyscallBatch batch;
	batch.add(SYS_prctl, kRestoreIds, 1, 0, 0, 0);
	for (const images::PosixTimer *timer : order)
		batch.add(SYS_timer_create, clock_of(*timer, leader.tid()), batch.value(sigevent_of(*timer)),
			  batch.value(timer->id()));
	if (order.empty() || order.back()->id() != last) {
		batch.add(SYS_timer_create, CLOCK_MONOTONIC, 0, batch.value(last));
		batch.add(SYS_timer_delete, last);
	}
	batch.add(SYS_prctl, kRestoreIds, 0, 0, 0, 0);
	return batch.run(leader);
}

namespace {

class IdCounter {
public:
	IdCounter(Tracee &leader, const images::Process &process, const Log &log)
		: leader_(leader), process_(process), log_(log), total_(timer_id_steps(process))
	{
	}
	Result<> run();

private:
	Result<> count(uint64_t ids);
	Result<> count_to(uint32_t id);
	void report();
	Result<> create(std::span<const images::PosixTimer *const> timers);
	[[nodiscard]] uint32_t next() const { return static_cast<uint32_t>(done_) & (kCircle - 1); }
	[[nodiscard]] Error out_of_order(int got) const;

	Tracee &leader_;
	const images::Process &process_;
	const Log &log_;
	uint64_t total_;
	uint64_t done_ = 0; // IDs given so far; the process is new and began with 0
	std::chrono::steady_clock::time_point reported_ = std::chrono::steady_clock::now();
};

Error IdCounter::out_of_order(int got) const
{
	return make_error(Code::kInternal, "got timer ID {} in place of {}", got, next()).on(name_of(process_));
}

Result<> IdCounter::count(uint64_t ids)
{
	uint64_t slot = leader_.slot().address;
	TRY(leader_.start(leader_.stub().count_timer_ids(), slot, ids));
	TRY(leader_.wait_trap(leader_.stub().after_count()));
	auto result = static_cast<int64_t>(TRY(leader_.registers()).rax);
	if (result < 0)
		return errno_error(static_cast<int>(-result), "cannot count up to timer ID {}",
				   (total_ - 1) & (kCircle - 1))
			.on(name_of(process_));
	int last = 0;
	TRY(leader_.read(slot, std::as_writable_bytes(std::span(&last, 1))));
	done_ += ids - 1;
	if (static_cast<uint32_t>(last) != next())
		return out_of_order(last);
	done_++;
	return {};
}

void IdCounter::report()
{
	auto now = std::chrono::steady_clock::now();
	if (now - reported_ < kReportEvery)
		return;
	reported_ = now;
	log_.notice("{}: timer ID {} of {}, {:.0f} %", name_of(process_), done_, total_,
		    100.0 * static_cast<double>(done_) / static_cast<double>(total_));
}

Result<> IdCounter::count_to(uint32_t id)
{
	while (uint64_t distance = place_of(id, next())) {
		TRY(count(std::min(distance, kStride)));
		report();
	}
	return {};
}

// The first has the next ID; the others follow, with short gaps.
Result<> IdCounter::create(std::span<const images::PosixTimer *const> timers)
{
	SyscallBatch batch;
	std::vector<target::Blob> ids;
	uint32_t id = next();
	for (const images::PosixTimer *timer : timers) {
		for (; id != timer->id(); id++) {
			ids.push_back(batch.buffer(sizeof(int)));
			batch.add(SYS_timer_create, CLOCK_MONOTONIC, 0, ids.back());
			batch.add(SYS_timer_delete, id);
		}
		ids.push_back(batch.buffer(sizeof(int)));
		batch.add(SYS_timer_create, clock_of(*timer, leader_.tid()), batch.value(sigevent_of(*timer)),
			  ids.back());
		id++;
	}
	TRY(batch.run(leader_));
	for (target::Blob given : ids) {
		if (batch.output_as<uint32_t>(given) != next())
			return out_of_order(batch.output_as<int>(given));
		done_++;
	}
	report();
	return {};
}

Result<> IdCounter::run()
{
	std::vector<const images::PosixTimer *> order = in_order(process_);
	for (size_t first = 0, end = 0; first < order.size(); first = end) {
		for (end = first + 1; end < order.size() && end - first < kMostAtOnce; end++)
			if (order[end]->id() - order[end - 1]->id() - 1 > kGap)
				break;
		TRY(count_to(order[first]->id()));
		TRY(create(std::span(order).subspan(first, end - first)));
	}
	// A timer just below the next ID was the last one.
	return count_to(next_id_of(process_));
}

} // namespace

Result<> create_timers(Tracee &leader, const images::Process &process, bool count, const Log &log)
{
	if (!process.timers_size() && !process.next_timer_id())
		return {};
	return count ? IdCounter(leader, process, log).run() : create_with_ids(leader, process);
}

} // namespace bpfckpt::restore
