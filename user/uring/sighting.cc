// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/sighting.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <unordered_map>

#include "images/opcode.pb.h"

namespace bpfckpt::uring {

namespace {

struct Place {
	const char *name;
	int rank; // of two places the higher one says more about a request that is in both
};

constexpr std::array<Place, URING_PLACES> kPlaces = {{
	{"armed poll", 9},   // URING_PLACE_POLL
	{"timeout", 9},      // URING_PLACE_TIMEOUT
	{"link timeout", 9}, // URING_PLACE_LINK_TIMEOUT
	{"link member", 1},  // URING_PLACE_LINK
	{"deferred", 8},     // URING_PLACE_DEFERRED
	{"io-wq queue", 8},  // URING_PLACE_WQ_QUEUE
	{"io-wq worker", 8}, // URING_PLACE_WQ_WORKER
	{"io-wq hashed", 7}, // URING_PLACE_WQ_HASHED
	{"iopoll", 9},       // URING_PLACE_IOPOLL
	{"waitid", 9},       // URING_PLACE_WAITID
	{"futex", 9},        // URING_PLACE_FUTEX
	{"uring_cmd", 9},    // URING_PLACE_URING_CMD
	{"task work", 5},    // URING_PLACE_TASK_WORK
	{"fallback", 5},     // URING_PLACE_FALLBACK
	{"completion", 6},   // URING_PLACE_COMPLETING
	{"submission", 2},   // URING_PLACE_SUBMITTING
}};

bool is_queued(const uring_request_record &record)
{
	return record.place == URING_PLACE_TASK_WORK || record.place == URING_PLACE_FALLBACK;
}

// The others stay where they are.
void sort_queued(std::vector<Sighting> &sightings)
{
	std::vector<Sighting> queued;
	std::ranges::copy_if(sightings, std::back_inserter(queued), &Sighting::queued);
	std::ranges::stable_sort(queued, {}, &Sighting::sequence);
	auto next = queued.begin();
	for (Sighting &sighting : sightings)
		if (sighting.queued)
			sighting = *next++;
}

} // namespace

const char *name_of_place(uint32_t place)
{
	return place < kPlaces.size() ? kPlaces[place].name : "unknown";
}

uint64_t notification_of(const uring_request_record &record, const iterators::KernelLayout &layout)
{
	if (record.opcode != images::IORING_OP_SEND_ZC && record.opcode != images::IORING_OP_SENDMSG_ZC)
		return 0;
	return iterators::KernelObject(layout, "io_sr_msg", record.command).get("notif");
}

std::vector<Sighting> sightings(std::span<const uring_request_record *const> records)
{
	std::vector<Sighting> result;
	result.reserve(records.size());
	std::unordered_map<uint64_t, size_t> seen;
	seen.reserve(records.size());
	for (const uring_request_record *record : records) {
		if (is_message(*record) || record->place >= kPlaces.size())
			continue;
		auto [it, is_new] = seen.try_emplace(record->request, result.size());
		if (is_new)
			result.push_back({.record = record});
		Sighting &sighting = result[it->second];
		if (kPlaces[record->place].rank > kPlaces[sighting.record->place].rank)
			sighting.record = record;
		if (is_queued(*record)) {
			sighting.queued = true;
			sighting.work = record->task_work;
			sighting.sequence = record->sequence;
		}
	}
	sort_queued(result);
	return result;
}

std::vector<const uring_request_record *> messages(std::span<const uring_request_record *const> records)
{
	std::vector<const uring_request_record *> result;
	std::ranges::copy_if(records, std::back_inserter(result), [](const auto *one) { return is_message(*one); });
	std::ranges::stable_sort(result, {}, &uring_request_record::sequence);
	return result;
}

Proof proof_of(std::span<const uring_count_record *const> counts)
{
	if (counts.size() != 2)
		return {};
	const uring_counters &before = counts[0]->counters, &after = counts[1]->counters;
	bool still = std::memcmp(&before, &after, sizeof(before)) == 0 && !after.mutex_owner;
	return {
		.counted = after.allocated - after.free,
		.taken = still && !counts[0]->unknown && !counts[1]->unknown,
	};
}

} // namespace bpfckpt::uring
