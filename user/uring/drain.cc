// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/drain.h"

#include <map>
#include <thread>
#include <unordered_map>

#include "user/uring/classify.h"

namespace bpfckpt::uring {

namespace {

using Clock = std::chrono::steady_clock;

// What keeps one ring from being settled.
struct Unsettled {
	std::vector<const uring_request_record *> bounded;
	uint32_t found = 0;
	Proof proof;

	[[nodiscard]] bool is_missing() const { return !proof.holds(found); }
};

template <class Record>
std::unordered_map<uint64_t, std::vector<const Record *>> by_ring(std::span<const Record> records)
{
	std::unordered_map<uint64_t, std::vector<const Record *>> result;
	for (const Record &record : records)
		result[record.ring].push_back(&record);
	return result;
}

bool must_be_waited_for(const Sighting &sighting, const iterators::KernelLayout &layout, const IsDisk &is_disk)
{
	// What is done and only waits for its thread to say so is kept as a completion.
	if (sighting.queued)
		return false;
	RequestSource source;
	source.record = sighting.record;
	source.layout = &layout;
	return is_bounded(source, sighting.record->file && is_disk && is_disk(sighting.record->file));
}

// By position of the ring in reader.rings(): what messages count from.
std::map<size_t, Unsettled> unsettled(const iterators::UringReader &reader, const iterators::KernelLayout &layout,
				      const IsDisk &is_disk)
{
	auto requests = by_ring(reader.requests());
	auto counts = by_ring(reader.counts());
	std::map<size_t, Unsettled> result;
	for (size_t i = 0; i < reader.rings().size(); i++) {
		uint64_t ring = reader.rings()[i].ring;
		Unsettled state;
		for (const Sighting &sighting : sightings(requests[ring])) {
			state.found++;
			if (must_be_waited_for(sighting, layout, is_disk))
				state.bounded.push_back(sighting.record);
		}
		state.proof = proof_of(counts[ring]);
		if (!state.bounded.empty() || state.is_missing())
			result.emplace(i, std::move(state));
	}
	return result;
}

std::string describe(const uring_request_record &record)
{
	const std::string &name = images::Opcode_Name(static_cast<images::Opcode>(record.opcode));
	return fmt::format("{} (user_data {:#x}, {})", name.empty() ? fmt::format("opcode {}", record.opcode) : name,
			   static_cast<uint64_t>(record.user_data), name_of_place(record.place));
}

Error timed_out(const std::map<size_t, Unsettled> &rings, std::chrono::milliseconds limit)
{
	constexpr size_t kNamed = 8;
	std::string text;
	for (const auto &[ring, state] : rings) {
		for (size_t i = 0; i < std::min(state.bounded.size(), kNamed); i++)
			text += fmt::format("{}{}", text.empty() ? "" : ", ", describe(*state.bounded[i]));
		if (state.bounded.size() > kNamed)
			text += fmt::format(" and {} more", state.bounded.size() - kNamed);
		if (state.is_missing())
			text += fmt::format("{}{} requests of the {} that the kernel counts were found",
					    text.empty() ? "" : ", ", state.found, state.proof.counted);
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
		auto left = unsettled(reader, layout, is_disk);
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

Result<> observe(iterators::UringReader &reader, std::span<const uint64_t> rings, unsigned attempts)
{
	for (unsigned attempt = 1;; attempt++) {
		TRY(reader.run(rings));
		auto requests = by_ring(reader.requests());
		bool proved = true;
		for (const auto &[ring, counts] : by_ring(reader.counts()))
			proved = proved && proof_of(counts).holds(sightings(requests[ring]).size());
		if (proved || attempt >= attempts)
			return {};
	}
}

} // namespace bpfckpt::uring
