// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/dump_stats.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "user/uring/inexact.h"

namespace bpfckpt::cli {

using std::chrono::duration_cast;
using std::chrono::microseconds;

namespace {

long microseconds_of(std::chrono::nanoseconds time)
{
	return duration_cast<microseconds>(time).count();
}

std::string barrier_json(const DumpStats &stats, uint32_t ring)
{
	auto asked = stats.barriers.find(ring);
	if (asked == stats.barriers.end())
		return "null";
	return asked->second.empty() ? "\"confirmed\"" : fmt::format("\"not asked: {}\"", asked->second);
}

std::string ring_json(const DumpStats &stats, const RingStats &ring)
{
	const uring::RingDrain &drain = ring.drain;
	return fmt::format("{{\"ring\":{},\"needed\":\"{}\",\"us\":{},\"waited_for\":{},\"missing\":{},\"lent\":{},"
			   "\"found\":{},\"counted\":{},\"barrier\":{}}}",
			   ring.id, needs_of(drain), microseconds_of(drain.waited), drain.waited_for, drain.missing,
			   drain.errands, drain.found, drain.counted, barrier_json(stats, ring.id));
}

} // namespace

std::string needs_of(const uring::RingDrain &drain)
{
	if (drain.errands)
		return "enter";
	return drain.waited.count() || drain.waited_for || drain.missing ? "observe" : "nothing";
}

std::string json_of(const DumpStats &stats)
{
	std::vector<std::string> drains;
	drains.reserve(stats.rings.size());
	for (const RingStats &ring : stats.rings)
		drains.push_back(ring_json(stats, ring));
	std::vector<std::string> accepted;
	accepted.reserve(stats.accepted.size());
	for (const auto &[kind, count] : stats.accepted)
		accepted.push_back(fmt::format("\"{}\":{}", kind, count));
	return fmt::format("{{\"version\":1,\"command\":\"dump\",\"frozen_us\":{},\"wall_us\":{},\"drain_us\":{},"
			   "\"drain_rounds\":{},\"processes\":{},\"threads\":{},\"rings\":{},\"requests\":{},"
			   "\"page_bytes\":{},\"injected_syscalls\":{},\"fixed_syscalls\":{},\"accepted\":{{{}}},"
			   "\"drains\":[{}]}}\n",
			   microseconds_of(stats.frozen), microseconds_of(stats.wall), microseconds_of(stats.drain),
			   stats.drain_rounds, stats.processes, stats.threads, stats.rings.size(), stats.requests,
			   stats.page_bytes, stats.injected_syscalls, stats.fixed_syscalls, fmt::join(accepted, ","),
			   fmt::join(drains, ","));
}

std::string accepted_of(const DumpStats &stats)
{
	std::string text;
	for (const auto &[name, count] : stats.accepted)
		if (const uring::InexactKind *kind = uring::inexact_kind(name))
			text += fmt::format("accepted: {} x {}: {}\n", count, name, kind->seen);
	return text;
}

std::string drains_of(const DumpStats &stats)
{
	std::string text;
	for (const RingStats &ring : stats.rings) {
		const uring::RingDrain &drain = ring.drain;
		text += fmt::format(
			"ring {}: needed {}, {} us; waited for {} requests, {} not found at first, threads lent "
			"{} times; {} found of {} counted",
			ring.id, needs_of(drain), microseconds_of(drain.waited), drain.waited_for, drain.missing,
			drain.errands, drain.found, drain.counted);
		if (auto asked = stats.barriers.find(ring.id); asked != stats.barriers.end())
			text += asked->second.empty() ? "; confirmed by a barrier" : "; no barrier: " + asked->second;
		text += "\n";
	}
	return text;
}

} // namespace bpfckpt::cli
