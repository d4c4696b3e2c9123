// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counters of a ring -> the requests that lead there, modulo 2^32.
#include "user/uring/counters.h"

#include <gtest/gtest.h>

namespace bpfckpt::uring {

static images::Ring ring_at(uint32_t sq_head, uint32_t cq_tail, bool array = true, bool skipped = false)
{
	images::Ring ring;
	ring.set_sq_entries(256);
	ring.set_sq_head(sq_head);
	ring.set_cq_tail(cq_tail);
	ring.mutable_layout()->set_sq_array(array ? 4096 : 0);
	ring.set_drain_disabled(skipped);
	return ring;
}

static void expect_exact(const images::Ring &ring)
{
	CounterSteps steps = counter_steps(ring);
	EXPECT_EQ(steps.nops + steps.skips + steps.drops, ring.sq_head());
	EXPECT_EQ(steps.nops + steps.posts, ring.cq_tail());
	EXPECT_TRUE(ring.drain_disabled() || !steps.skips) << "no request had left out its completion";
	EXPECT_TRUE(!ring.drain_disabled() || !ring.sq_head() || steps.skips) << "IOSQE_IO_DRAIN would work again";
	EXPECT_TRUE(ring.layout().sq_array() || !steps.drops) << "there is no array to hold a wrong index";
}

TEST(UringCounters, nothing_to_do_in_a_new_ring)
{
	EXPECT_EQ(counter_steps(ring_at(0, 0)).count(), 0u);
}

TEST(UringCounters, the_common_case_is_one_request_each)
{
	EXPECT_EQ(counter_steps(ring_at(1000, 1000)), (CounterSteps{.nops = 1000}));
	EXPECT_EQ(counter_steps(ring_at(1000, 1000, false)), (CounterSteps{.nops = 1000}));
}

TEST(UringCounters, more_completions_than_submissions_are_messages)
{
	EXPECT_EQ(counter_steps(ring_at(10, 1000)), (CounterSteps{.nops = 10, .posts = 990}));
}

TEST(UringCounters, submissions_without_completions)
{
	EXPECT_EQ(counter_steps(ring_at(1000, 10)), (CounterSteps{.nops = 10, .drops = 990}));
	EXPECT_EQ(counter_steps(ring_at(1000, 10, false, true)), (CounterSteps{.nops = 10, .skips = 990}));
}

TEST(UringCounters, both_are_reached_from_any_combination)
{
	for (uint32_t head : {1U, 2U, 77U, 1U << 31, ~0U - 9, ~0U})
		for (uint32_t tail : {0U, 1U, 76U, 77U, 78U, 1U << 31, ~0U - 20, ~0U})
			for (bool array : {true, false})
				for (bool skipped : {true, false})
					expect_exact(ring_at(head, tail, array, skipped));
}

TEST(UringCounters, a_tail_that_has_run_over_needs_few_messages)
{
	CounterSteps steps = counter_steps(ring_at(~0U - 9, 20));
	EXPECT_EQ(steps.nops, ~0U - 9);
	EXPECT_EQ(steps.posts, 30u);
	EXPECT_GT(time_of(steps, ring_at(~0U - 9, 20)), std::chrono::minutes(5));
}

} // namespace bpfckpt::uring
