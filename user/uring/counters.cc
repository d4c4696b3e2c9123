// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/counters.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include <fmt/format.h>
#include <linux/io_uring.h>

#include "user/uring/provided.h"
#include "user/uring/rearm.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::uring {

using std::chrono::nanoseconds;

// Measured on a busy 2-core guest. An idle one of the faster kind takes a third of that.
constexpr nanoseconds kNop = kTimeOfNop, kSkip{130}, kEnter{500}, kDrop{600}, kPost{350}, kDeferredPost{1000};
constexpr uint32_t kBatch = 256;

// The only ways to move the SQ head alone: an index that is dropped, or a completion that is left out. A ring in which
// no request ever left it out must not get one now: it would refuse IOSQE_IO_DRAIN from then on (ctx->drain_disabled).
static void move_head_alone(const images::Ring &ring, uint32_t count, CounterSteps &steps)
{
	(ring.drain_disabled() ? steps.skips : steps.drops) = count;
}

static bool can_move_head_alone(const images::Ring &ring)
{
	return ring.drain_disabled() || ring.layout().sq_array();
}

bool owes_completion(const images::Request &request)
{
	return request.class_() == images::Request::COMPLETED && !(request.flags() & IOSQE_CQE_SKIP_SUCCESS);
}

bool has_second_half(const images::Cqe &cqe)
{
	return std::ranges::any_of(cqe.extra(), [](uint64_t word) { return word != 0; });
}

bool has_flags_of_nop(const images::Ring &ring, uint32_t flags)
{
	return !flags || (ring.flags() & kSetupCqeMixed && flags == kCqe32);
}

bool is_wide(const images::Ring &ring, const images::Cqe &cqe)
{
	bool has_room = ring.flags() & IORING_SETUP_CQE32 || cqe.flags() & kCqe32;
	return has_second_half(cqe) && cqe.extra_size() == 2 && has_room && has_flags_of_nop(ring, cqe.flags());
}

OwedCompletions owed_completions(const images::Ring &ring)
{
	OwedCompletions owed;
	auto add = [&](uint32_t flags) {
		owed.all++;
		owed.plain += has_flags_of_nop(ring, flags);
	};
	for (const images::Cqe &cqe : ring.overflow())
		if (!has_second_half(cqe))
			add(cqe.flags());
		else if (is_wide(ring, cqe))
			owed.wide++;
	for (const images::Request &request : ring.in_flight())
		if (owes_completion(request))
			add(request.completion_flags());
	for (const images::Cqe &message : ring.messages())
		add(message.flags());
	return owed;
}

// More submissions than completions, and the head of the SQ does not move alone.
static uint32_t completions_missing(const images::Ring &ring, uint32_t submitted, uint32_t completed)
{
	return can_move_head_alone(ring) || submitted <= completed ? 0 : submitted - completed;
}

// At most.
static uint32_t polls_to_tell_again(const images::Ring &ring)
{
	return static_cast<uint32_t>(std::ranges::count_if(ring.in_flight(), may_report_again));
}

static std::string wide_obstacle(const images::Ring &ring, uint32_t wide, uint32_t submitted)
{
	if (!wide)
		return {};
	if (ring.has_restrictions())
		return fmt::format("{} completions of 32 bytes are in its overflow list, and it has restrictions",
				   wide);
	if (wide > submitted)
		return fmt::format(
			"{} completions of 32 bytes are in its overflow list, and its counter of submissions "
			"leaves {} requests to make them",
			wide, submitted);
	return {};
}

std::string counter_obstacle(const images::Ring &ring)
{
	OwedCompletions owed = owed_completions(ring);
	uint32_t submitted = ring.sq_head() - waiting_count(ring);
	if (std::string obstacle = wide_obstacle(ring, owed.wide, submitted); !obstacle.empty())
		return obstacle;
	uint32_t missing = completions_missing(ring, submitted - owed.wide, ring.cq_tail() - polls_to_tell_again(ring));
	// More than it owes: the completions have come once around their 32 bits.
	if (!missing || missing > owed.all)
		return {};
	if (missing > owed.plain)
		return fmt::format("it owes {} completions, {} of them with flags, and has no array of submissions",
				   owed.all, owed.all - owed.plain);
	if (ring.has_restrictions())
		return fmt::format("it owes {} completions, has restrictions, and no array of submissions", owed.all);
	return {};
}

static CounterSteps steps_to(const images::Ring &ring, uint32_t submitted, uint32_t completed, uint32_t plain)
{
	if (uint32_t missing = completions_missing(ring, submitted, completed); missing && missing <= plain)
		return {.nops = completed, .owed = missing};
	CounterSteps posting, skipping;
	// One request without a completion, for what it does to IOSQE_IO_DRAIN.
	uint32_t first = ring.drain_disabled() && submitted ? 1 : 0;
	posting.skips = first;
	posting.nops = submitted - first;
	posting.posts = completed - posting.nops;
	if (!can_move_head_alone(ring) || submitted == completed)
		return posting;
	skipping.nops = completed;
	move_head_alone(ring, submitted - completed, skipping);
	return time_of(skipping, ring) < time_of(posting, ring) ? skipping : posting;
}

CounterSteps counter_steps(const images::Ring &ring, const RingProgress &done)
{
	OwedCompletions owed = owed_completions(ring);
	CounterSteps steps = steps_to(ring, ring.sq_head() - waiting_count(ring) - done.submissions - owed.wide,
				      ring.cq_tail() - done.completions, owed.plain);
	steps.wide = owed.wide;
	return steps;
}

nanoseconds time_of(const CounterSteps &steps, const images::Ring &ring)
{
	uint32_t batch = ring.has_restrictions() ? 1 : std::clamp(ring.sq_entries(), 1U, kBatch);
	nanoseconds post = ring.flags() & IORING_SETUP_DEFER_TASKRUN ? kDeferredPost : kPost;
	return (uint64_t{steps.owed} + steps.wide) * (kNop + kEnter) + steps.nops * (kNop + kEnter / batch) +
	       steps.skips * (kSkip + kEnter / batch) + steps.drops * kDrop + steps.posts * post;
}

// The least number from `least` on that stands for the same slot of a queue.
static uint64_t in_same_slot(uint32_t counter, uint64_t least, uint32_t entries)
{
	return least + ((counter - least) & (entries - 1));
}

// Words of the queue's memory, which need not be what the kernel goes by.
static void add_to_words(images::Ring &ring, uint32_t by, std::initializer_list<uint32_t> places)
{
	std::string &queues = *ring.mutable_sq_ring();
	for (size_t at : places) {
		uint32_t word = 0;
		if (at + sizeof(word) > queues.size())
			continue;
		memcpy(&word, queues.data() + at, sizeof(word));
		word += by;
		memcpy(queues.data() + at, &word, sizeof(word));
	}
}

static bool rebase_submissions(images::Ring &ring, uint64_t requests)
{
	uint64_t least = waiting_count(ring) + requests + owed_completions(ring).wide;
	uint64_t head = in_same_slot(ring.sq_head(), least, ring.sq_entries());
	if (head >= ring.sq_head())
		return false;
	uint32_t by = static_cast<uint32_t>(head) - ring.sq_head();
	ring.set_sq_head(ring.sq_head() + by);
	ring.set_sq_tail(ring.sq_tail() + by);
	add_to_words(ring, by, {ring.layout().sq_head(), ring.layout().sq_tail()});
	return true;
}

static bool rebase_completions(images::Ring &ring, uint64_t requests)
{
	uint32_t submitted = ring.sq_head() - waiting_count(ring), unread = ring.cq_tail() - ring.cq_head();
	uint64_t tail = in_same_slot(ring.cq_tail(), std::max({requests, uint64_t{submitted}, uint64_t{unread}}),
				     ring.cq_entries());
	if (tail >= ring.cq_tail())
		return false;
	uint32_t by = static_cast<uint32_t>(tail) - ring.cq_tail();
	ring.set_cq_head(ring.cq_head() + by);
	ring.set_cq_tail(ring.cq_tail() + by);
	add_to_words(ring, by, {ring.layout().cq_head(), ring.layout().cq_tail()});
	return true;
}

bool rebase_counters(Rebase which, images::Ring &ring)
{
	// One is left for what has it that requests have left out their completions. Polls that are ready are made to
	// tell so before all else.
	uint64_t requests = requests_to_provide(ring) + polls_to_tell_again(ring) + 1;
	bool rebased = which == Rebase::kAll && rebase_submissions(ring, requests);
	return (which != Rebase::kNone && rebase_completions(ring, requests)) || rebased;
}

} // namespace bpfckpt::uring
