// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/drain.h"

#include <algorithm>
#include <map>
#include <thread>

#include "user/uring/classify.h"

namespace bpfckpt::uring {

namespace {

using Clock = std::chrono::steady_clock;

// What keeps one ring from being settled.
struct Unsettled {
	std::vector<const uring_request_record *> bounded;
	uint32_t found = 0;
	Proof proof;
	bool whole = true; // no list was cut

	[[nodiscard]] bool is_missing() const { return !whole || !proof.holds(found); }
};

// By struct io_ring_ctx. This runs inside the freeze: it sorts, where sightings() would build a table of them all.
using Rings = std::map<uint64_t, Unsettled>;

Rings count_found(const iterators::UringRecords &records)
{
	std::vector<std::pair<uint64_t, uint64_t>> requests;
	requests.reserve(records.requests.size());
	for (const uring_request_record &record : records.requests)
		if (!is_message(record))
			requests.emplace_back(record.ring, record.request);
	std::ranges::sort(requests);
	auto last = std::ranges::unique(requests).begin();

	Rings rings;
	std::map<uint64_t, std::vector<const uring_count_record *>> counts;
	for (const uring_count_record &record : records.counts)
		counts[record.ring].push_back(&record);
	for (const uring_ring_record &record : records.rings) {
		auto [first, end] = std::ranges::equal_range(requests.begin(), last, record.ring, {},
							     &std::pair<uint64_t, uint64_t>::first);
		Unsettled &ring = rings[record.ring];
		ring.found = static_cast<uint32_t>(end - first);
		ring.proof = proof_of(counts[record.ring]);
		ring.whole = !records.truncated;
	}
	return rings;
}

// The rings that are not settled.
Rings unsettled(const iterators::UringRecords &records, const iterators::KernelLayout &layout, const IsDisk &is_disk)
{
	Rings rings = count_found(records);
	RequestSource source;
	source.layout = &layout;
	for (const uring_request_record &record : records.requests) {
		if (!is_worked_on(record))
			continue;
		source.record = &record;
		auto ring = rings.find(record.ring);
		if (ring != rings.end() && is_bounded(source, record.file && is_disk && is_disk(record.file)))
			ring->second.bounded.push_back(&record);
	}
	std::erase_if(rings,
		      [](const auto &entry) { return entry.second.bounded.empty() && !entry.second.is_missing(); });
	return rings;
}

// How far each ring has come, by struct io_ring_ctx: its SQ head and CQ tail.
using Positions = std::map<uint64_t, std::pair<uint32_t, uint32_t>>;

Positions positions(const iterators::UringRecords &records)
{
	Positions result;
	for (const uring_count_record &record : records.counts)
		result[record.ring] = {record.counters.cached_sq_head, record.counters.cached_cq_tail};
	return result;
}

std::string describe(const uring_request_record &record)
{
	const std::string &name = images::Opcode_Name(static_cast<images::Opcode>(record.opcode));
	return fmt::format("{} (user_data {:#x}, {})", name.empty() ? fmt::format("opcode {}", record.opcode) : name,
			   static_cast<uint64_t>(record.user_data), name_of_place(record.place));
}

Error timed_out(const Rings &rings, std::chrono::milliseconds limit)
{
	constexpr size_t kNamed = 8;
	std::string text;
	for (const auto &[ring, state] : rings) {
		for (size_t i = 0; i < std::min(state.bounded.size(), kNamed); i++)
			text += fmt::format("{}{}", text.empty() ? "" : ", ", describe(*state.bounded[i]));
		if (state.bounded.size() > kNamed)
			text += fmt::format(" and {} more", state.bounded.size() - kNamed);
		if (state.found != state.proof.counted)
			text += fmt::format("{}{} requests of the {} that the kernel counts were found",
					    text.empty() ? "" : ", ", state.found, state.proof.counted);
		else if (!state.proof.taken || !state.whole)
			text += fmt::format("{}a ring does not come to rest", text.empty() ? "" : ", ");
	}
	Error error = make_error(Code::kTimeout, "requests have not finished within {} ms: {}", limit.count(), text);
	return std::move(error)
		.on("io_uring")
		.with_hint("a longer --drain-timeout gives them more time; requests on no list are disk I/O, "
			   "notifications of zero-copy sends, or descriptors on their way to another ring");
}

} // namespace

Result<DrainReport> drain(iterators::UringReader &reader, std::span<const uint64_t> rings,
			  const iterators::KernelLayout &layout, const IsDisk &is_disk, std::chrono::milliseconds limit)
{
	DrainReport report;
	auto start = Clock::now(), deadline = start + limit;
	auto pause = std::chrono::microseconds(100);
	for (;; TRY(reader.run(rings))) {
		auto left = unsettled(reader.records(), layout, is_disk);
		if (report.rounds++ == 0) {
			for (const auto &[ring, state] : left) {
				report.waited_for += static_cast<unsigned>(state.bounded.size());
				report.missing += state.is_missing() ? state.proof.counted - state.found : 0;
			}
		}
		if (left.empty()) {
			report.waited = report.rounds > 1 ? Clock::now() - start : Clock::duration();
			return report;
		}
		if (Clock::now() >= deadline)
			return timed_out(left, limit);
		std::this_thread::sleep_for(pause);
		pause = std::min(pause * 2, std::chrono::microseconds(10'000));
	}
}

Result<std::unordered_set<uint64_t>> observe(iterators::UringReader &reader, std::span<const uint64_t> rings,
					     const iterators::KernelLayout &layout, const IsDisk &is_disk,
					     std::chrono::milliseconds limit)
{
	constexpr unsigned kRoundsWhileMoving = 5;
	auto deadline = Clock::now() + limit;
	auto pause = std::chrono::microseconds(100);
	const Positions first = positions(reader.records());
	std::unordered_set<uint64_t> stuck;
	for (unsigned round = 1;; round++) {
		Rings left = unsettled(reader.records(), layout, is_disk);
		Positions now = positions(reader.records());
		stuck.clear();
		for (const auto &[ring, state] : left)
			if (first.contains(ring) && first.at(ring) == now[ring])
				stuck.insert(ring);
		bool moving = stuck.empty() && round >= kRoundsWhileMoving;
		if (left.empty() || moving || Clock::now() >= deadline)
			return stuck;
		std::this_thread::sleep_for(pause);
		pause = std::min(pause * 2, std::chrono::microseconds(10'000));
		TRY(reader.run(rings));
	}
}

} // namespace bpfckpt::uring
