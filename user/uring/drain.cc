// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/drain.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>

#include <linux/io_uring.h>

#include "images/uring.pb.h"
#include "iterators/address_set.h"
#include "user/uring/classify.h"
#include "user/uring/sighting.h"

namespace bpfckpt::uring {

namespace {

using Clock = std::chrono::steady_clock;

// What keeps one ring from being settled.
struct Unsettled {
	std::vector<const uring_request_record *> bounded;
	std::set<std::pair<uint32_t, bool>> lent; // threads that are to do what is queued for them: tid, SQ thread
	uint32_t found = 0;
	Proof proof;
	bool whole = true; // no list was cut

	[[nodiscard]] bool is_missing() const { return !whole || !proof.holds(found); }
	[[nodiscard]] bool is_settled() const { return bounded.empty() && lent.empty() && !is_missing(); }
};

// By struct io_ring_ctx.
using Rings = std::map<uint64_t, Unsettled>;

// Requests found, each once; inside the freeze, where a table of sightings() would take longer than reading them.
std::map<uint64_t, uint32_t> count_requests(const iterators::UringRecords &records,
					    const iterators::KernelLayout &layout)
{
	iterators::AddressSet seen;
	seen.reserve(records.requests.size());
	std::map<uint64_t, uint32_t> found;
	auto ring = found.end();
	for (const uring_request_record &record : records.requests) {
		if (ring == found.end() || ring->first != record.ring)
			ring = found.try_emplace(record.ring).first;
		ring->second += !is_message(record) && seen.insert(record.request);
		if (uint64_t notification = notification_of(record, layout))
			ring->second += seen.insert(notification);
	}
	return found;
}

Rings count_found(const iterators::UringRecords &records, const iterators::KernelLayout &layout)
{
	std::map<uint64_t, uint32_t> found = count_requests(records, layout);
	Rings rings;
	std::map<uint64_t, std::vector<const uring_count_record *>> counts;
	for (const uring_count_record &record : records.counts)
		counts[record.ring].push_back(&record);
	for (const uring_ring_record &record : records.rings) {
		Unsettled &ring = rings[record.ring];
		ring.found = found[record.ring];
		ring.proof = proof_of(counts[record.ring]);
		ring.whole = !records.truncated;
	}
	return rings;
}

// The rings, and what keeps each from being settled.
Rings look(const iterators::UringRecords &records, const iterators::KernelLayout &layout, const IsDisk &is_disk)
{
	Rings rings = count_found(records, layout);
	Workers workers(records, layout, is_disk);
	for (const uring_request_record &record : records.requests) {
		if (!workers.is_bounded(record))
			continue;
		if (auto ring = rings.find(record.ring); ring != rings.end())
			ring->second.bounded.push_back(&record);
	}
	return rings;
}

Rings unsettled(const iterators::UringRecords &records, const iterators::KernelLayout &layout, const IsDisk &is_disk)
{
	Rings rings = look(records, layout, is_disk);
	std::erase_if(rings, [](const auto &entry) { return entry.second.is_settled(); });
	return rings;
}

// --- threads that have to do what is queued for them ----------------------------------------------------------------

bool is_queued(const uring_request_record &record)
{
	return record.place == URING_PLACE_TASK_WORK || record.place == URING_PLACE_FALLBACK;
}

// What is queued for such a request only looks again, as a new one does: not where it has been cancelled. A futex wait
// that has been woken is still on the list (io_uring/futex.c: io_futex_wake_fn()).
bool is_armed(const uring_request_record &record)
{
	switch (record.place) {
	case URING_PLACE_POLL:
		return !(record.poll_refs & RequestSource::kPollCancelled);
	case URING_PLACE_TIMEOUT:
	case URING_PLACE_LINK_TIMEOUT:
	case URING_PLACE_WAITID:
	case URING_PLACE_URING_CMD:
		return true;
	default:
		return false;
	}
}

class Errands {
public:
	Errands(const iterators::UringRecords &records, const iterators::KernelLayout &layout, DrainMode mode)
		: records_(records), mode_(mode)
	{
		source_.layout = &layout;
		for (const uring_ring_record &record : records.rings)
			setup_.emplace(record.ring, &record);
		for (const uring_attachment_record &record : records.attachments)
			threads_.emplace(std::pair(record.ring, record.tctx), &record);
	}

	void add_to(Rings &rings)
	{
		for (const uring_request_record &record : records_.requests)
			if (auto ring = rings.find(record.ring);
			    ring != rings.end() && (is_due(record) || record.place == URING_PLACE_IOPOLL))
				lend(record, ring->second);
		// An SQ thread keeps task work beyond its share of a turn on its stack (io_sq_tw()).
		for (auto &[address, ring] : rings)
			if (auto setup = setup_.find(address); setup != setup_.end() && setup->second->sq_thread_tid &&
							       (ring.is_missing() || !ring.bounded.empty()))
				ring.lent.emplace(setup->second->sq_thread_tid, true);
	}

private:
	bool is_due(const uring_request_record &record)
	{
		if (!is_queued(record))
			return false;
		if (mode_ == DrainMode::kEnter)
			return true;
		source_.record = &record;
		source_.async = record.opcode == images::IORING_OP_TIMEOUT ? async_of(record.request)
									   : std::span<const uint8_t>();
		bool large = setup_.contains(record.ring) && setup_.at(record.ring)->flags & IORING_SETUP_CQE32;
		if (is_message(record) || armed().contains(record.request))
			return false;
		return cancelled_.contains(record.request) || is_for_its_thread(source_, large);
	}

	// Made for the first that asks: most rings have nothing queued.
	iterators::AddressSet &armed()
	{
		if (!armed_) {
			armed_.emplace();
			for (const uring_request_record &record : records_.requests)
				if (is_armed(record))
					armed_->insert(record.request);
				else if (record.place == URING_PLACE_POLL)
					cancelled_.insert(record.request);
		}
		return *armed_;
	}

	// The first piece, which has all of a timeout.
	std::span<const uint8_t> async_of(uint64_t request)
	{
		if (async_.empty())
			for (const uring_blob_record &blob : records_.blobs)
				if (blob.kind == URING_BLOB_ASYNC && !blob.offset)
					async_.emplace(blob.request, &blob);
		auto blob = async_.find(request);
		if (blob == async_.end())
			return {};
		return {blob->second->data, std::min<size_t>(blob->second->length, URING_BLOB_BYTES)};
	}

	void lend(const uring_request_record &record, Unsettled &ring)
	{
		auto setup = setup_.find(record.ring);
		auto thread = threads_.find({record.ring, record.tctx});
		if (setup != setup_.end() && setup->second->flags & IORING_SETUP_DEFER_TASKRUN)
			ring.lent.emplace(setup->second->submitter_tid, false);
		else if (thread != threads_.end())
			ring.lent.emplace(thread->second->tid, thread->second->sq_thread);
	}

	const iterators::UringRecords &records_;
	DrainMode mode_;
	RequestSource source_;
	std::optional<iterators::AddressSet> armed_; // struct io_kiocb
	iterators::AddressSet cancelled_;            // polls that are not
	std::unordered_map<uint64_t, const uring_blob_record *> async_;
	std::unordered_map<uint64_t, const uring_ring_record *> setup_;
	std::map<std::pair<uint64_t, uint64_t>, const uring_attachment_record *> threads_;
};

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
		else if (state.bounded.empty() && !state.lent.empty())
			text += fmt::format("{}completions that only thread {} can post", text.empty() ? "" : ", ",
					    state.lent.begin()->first);
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

namespace {

class Drain {
public:
	Drain(iterators::UringReader &reader, const iterators::KernelLayout &layout, const DrainOptions &options)
		: reader_(reader), layout_(layout), options_(options)
	{
	}
	Result<DrainReport> run(std::span<const uint64_t> rings);

private:
	Rings look_again();
	void note(const Rings &rings);
	Result<bool> run_errands(const Rings &rings);

	iterators::UringReader &reader_;
	const iterators::KernelLayout &layout_;
	const DrainOptions &options_;
	Clock::time_point start_ = Clock::now();
	std::map<uint64_t, RingDrain> needed_;
	std::set<uint64_t> unsettled_;                   // at the last look
	std::set<std::pair<uint64_t, uint32_t>> unable_; // rings and threads that cannot do what is queued for them
	unsigned rounds_ = 0;
};

Rings Drain::look_again()
{
	iterators::UringRecords records = reader_.records();
	Rings rings = look(records, layout_, options_.is_disk);
	bool lending = options_.mode == DrainMode::kAuto || options_.mode == DrainMode::kNop ||
		       options_.mode == DrainMode::kEnter;
	if (lending && options_.run_errand)
		Errands(records, layout_, options_.mode).add_to(rings);
	for (auto &entry : rings)
		std::erase_if(entry.second.lent,
			      [&](const auto &thread) { return unable_.contains({entry.first, thread.first}); });
	return rings;
}

void Drain::note(const Rings &rings)
{
	for (const auto &[address, ring] : rings) {
		auto [needed, first] = needed_.try_emplace(address);
		RingDrain &drain = needed->second;
		drain.ring = address;
		drain.found = ring.found;
		drain.counted = ring.proof.counted;
		if (first) {
			drain.waited_for = static_cast<unsigned>(ring.bounded.size());
			drain.missing = ring.is_missing() ? drain.counted - std::min(drain.found, drain.counted) : 0;
		}
		if (!ring.is_settled())
			unsettled_.insert(address);
		else if (unsettled_.erase(address))
			drain.waited = Clock::now() - start_;
	}
}

// Whether any thread was lent.
Result<bool> Drain::run_errands(const Rings &rings)
{
	bool any = false;
	for (const auto &[address, ring] : rings) {
		for (auto [tid, sq_thread] : ring.lent) {
			bool done = TRY(options_.run_errand({.ring = address, .tid = tid, .sq_thread = sq_thread}));
			if (!done)
				unable_.emplace(address, tid);
			needed_[address].errands += done;
			any = any || done;
		}
	}
	return any;
}

Result<DrainReport> Drain::run(std::span<const uint64_t> rings)
{
	auto deadline = start_ + options_.limit;
	auto pause = std::chrono::microseconds(100);
	for (;; TRY(reader_.run(rings))) {
		Rings found = look_again();
		note(found);
		rounds_++;
		std::erase_if(found, [](const auto &entry) { return entry.second.is_settled(); });
		if (found.empty() || options_.mode == DrainMode::kOff)
			break;
		if (Clock::now() >= deadline)
			return timed_out(found, options_.limit);
		TRY(options_.may_go_on());
		if (TRY(run_errands(found)))
			continue;
		std::this_thread::sleep_for(pause);
		pause = std::min(pause * 2, std::chrono::microseconds(10'000));
	}
	DrainReport report;
	report.rounds = rounds_;
	report.waited = rounds_ > 1 ? Clock::now() - start_ : Clock::duration();
	for (const auto &[address, needed] : needed_)
		report.rings.push_back(needed);
	return report;
}

} // namespace

Result<DrainReport> drain(iterators::UringReader &reader, std::span<const uint64_t> rings,
			  const iterators::KernelLayout &layout, const DrainOptions &options)
{
	return Drain(reader, layout, options).run(rings);
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
