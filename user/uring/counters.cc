// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/counters.h"

#include <algorithm>

#include <linux/io_uring.h>

#include "user/uring/rearm.h"

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

CounterSteps counter_steps(const images::Ring &ring, const RingProgress &done)
{
	uint32_t submitted = ring.sq_head() - waiting_count(ring) - done.submissions;
	uint32_t completed = ring.cq_tail() - done.completions;
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

nanoseconds time_of(const CounterSteps &steps, const images::Ring &ring)
{
	uint32_t batch = ring.has_restrictions() ? 1 : std::clamp(ring.sq_entries(), 1U, kBatch);
	nanoseconds post = ring.flags() & IORING_SETUP_DEFER_TASKRUN ? kDeferredPost : kPost;
	return steps.nops * (kNop + kEnter / batch) + steps.skips * (kSkip + kEnter / batch) + steps.drops * kDrop +
	       steps.posts * post;
}

} // namespace bpfckpt::uring
