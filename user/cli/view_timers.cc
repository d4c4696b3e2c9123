// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/names.h"
#include "user/cli/view_parts.h"

namespace bpfckpt::cli {

namespace {

using namespace images;

std::string interval_text(int64_t nanoseconds)
{
	return nanoseconds ? human_duration(nanoseconds) : "";
}

std::string notification_of(const PosixTimer &timer)
{
	switch (timer.notify()) {
	case PosixTimer::NONE:
		return "none";
	case PosixTimer::THREAD_ID:
		return fmt::format("{} to thread {}", signal_name(timer.signal()), timer.notify_tid());
	default:
		return signal_name(timer.signal());
	}
}

std::string remaining_of(const PosixTimer &timer)
{
	if (!timer.armed())
		return "disarmed";
	return timer.remaining_ns() > 0 ? human_duration(timer.remaining_ns()) : "due";
}

void add_process(Table &table, const Process &process)
{
	std::string pid = fmt::format("{}", process.pid());
	for (const PosixTimer &timer : process.timers())
		table.row({pid, fmt::format("{}", timer.id()), printable(timer.clock()), remaining_of(timer),
			   interval_text(timer.interval_ns()),
			   timer.overrun() ? fmt::format("{}", timer.overrun()) : "", notification_of(timer),
			   fmt::format("{:#x}", timer.value()), timer.signal_pending() ? "signal pending" : ""});
	for (const IntervalTimer &timer : process.interval_timers())
		table.row({pid, "", printable(timer.which()), human_duration(timer.remaining_ns()),
			   interval_text(timer.interval_ns())});
}

void add_timerfd(const View &view, Table &table, const File &file)
{
	const Timerfd &timer = file.timerfd();
	std::string remaining = !timer.armed()             ? "disarmed"
				: timer.remaining_ns() > 0 ? human_duration(timer.remaining_ns())
							   : "due";
	table.row({"", fmt::format("file {}", file.id()), clock_name(timer.clock_id()), remaining,
		   interval_text(timer.interval_ns()), "", "timerfd, " + view.holders(file.id()), "",
		   timer.ticks() ? fmt::format("{} unread", timer.ticks()) : ""});
}

} // namespace

void view_timers(View &view)
{
	Table table({{"PID", Table::Align::kRight},
		     {"ID", Table::Align::kRight},
		     {"CLOCK"},
		     {"REMAINING", Table::Align::kRight},
		     {"INTERVAL", Table::Align::kRight},
		     {"OVERRUN", Table::Align::kRight},
		     {"NOTIFIES"},
		     {"VALUE"},
		     {"STATE"}});
	for (const Process &process : view.document().processes())
		add_process(table, process);
	for (const File &file : view.document().files())
		if (file.has_timerfd())
			add_timerfd(view, table, file);
	if (table.empty())
		return;
	view.heading("Timers");
	view.table(table);
	view.blank();
}

} // namespace bpfckpt::cli
