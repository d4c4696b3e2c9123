// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Counters of a ring -> the requests that lead there, modulo 2^32.
#include "user/uring/counters.h"

#include <gtest/gtest.h>
#include <linux/io_uring.h>

#include "user/util/uring_abi.h"

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
	EXPECT_EQ(steps.nops + steps.skips + steps.drops + steps.owed + steps.wide, ring.sq_head());
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

static void add_overflow(images::Ring &ring, uint32_t flags, uint64_t second_half)
{
	images::Cqe &cqe = *ring.add_overflow();
	cqe.set_flags(flags);
	cqe.add_extra(0);
	cqe.add_extra(second_half);
}

TEST(UringCounters, completions_with_a_second_half_are_requests_of_the_ring)
{
	for (uint32_t head : {3U, 4U, 77U, ~0U})
		for (uint32_t tail : {0U, 1U, 74U, 77U, 1U << 31})
			for (bool array : {true, false}) {
				images::Ring ring = ring_at(head, tail, array);
				ring.set_flags(IORING_SETUP_CQE32);
				for (uint64_t second_half : {1, 0, 2, 3})
					add_overflow(ring, 0, second_half);
				EXPECT_EQ(counter_steps(ring).wide, 3u);
				expect_exact(ring);
			}
}

TEST(UringCounters, they_need_submissions_to_be_made_by)
{
	images::Ring ring = ring_at(1, 16);
	ring.set_flags(IORING_SETUP_CQE32);
	add_overflow(ring, 0, 1);
	EXPECT_EQ(counter_obstacle(ring), "");
	ring.mutable_restrictions();
	EXPECT_NE(counter_obstacle(ring), "");
	ring.clear_restrictions();
	add_overflow(ring, 0, 1);
	EXPECT_NE(counter_obstacle(ring), "");
}

TEST(UringCounters, a_request_makes_a_second_half_with_the_flags_of_its_ring)
{
	images::Ring ring;
	for (uint32_t flags : {0U, kCqe32, kCqe32 | IORING_CQE_F_MORE})
		add_overflow(ring, flags, 1);
	auto which = [&](uint32_t setup) {
		ring.set_flags(setup);
		return std::array{is_wide(ring, ring.overflow(0)), is_wide(ring, ring.overflow(1)),
				  is_wide(ring, ring.overflow(2))};
	};
	EXPECT_EQ(which(IORING_SETUP_CQE32), (std::array{true, false, false}));
	EXPECT_EQ(which(kSetupCqeMixed), (std::array{false, true, false}));
	EXPECT_EQ(which(0), (std::array{false, false, false}));
}

TEST(UringCounters, a_tail_that_has_run_over_needs_few_messages)
{
	CounterSteps steps = counter_steps(ring_at(~0U - 9, 20));
	EXPECT_EQ(steps.nops, ~0U - 9);
	EXPECT_EQ(steps.posts, 30u);
	EXPECT_GT(time_of(steps, ring_at(~0U - 9, 20)), std::chrono::minutes(5));
}

static images::Ring far_ring(uint32_t sq_head, uint32_t cq_head, uint32_t unread)
{
	images::Ring ring = ring_at(sq_head, cq_head + unread);
	ring.set_cq_entries(512);
	ring.set_sq_tail(sq_head + 3);
	ring.set_cq_head(cq_head);
	ring.mutable_layout()->set_sq_tail(4);
	ring.mutable_layout()->set_cq_head(8);
	ring.mutable_layout()->set_cq_tail(12);
	uint32_t words[] = {sq_head, sq_head + 3, cq_head, cq_head + unread};
	ring.set_sq_ring(words, sizeof(words));
	return ring;
}

static void expect_same_places(const images::Ring &was, const images::Ring &ring)
{
	EXPECT_EQ((was.sq_head() - ring.sq_head()) % 256, 0u);
	EXPECT_EQ((was.cq_tail() - ring.cq_tail()) % 512, 0u);
	EXPECT_EQ(ring.sq_tail() - ring.sq_head(), 3u);
	EXPECT_EQ(ring.cq_tail() - ring.cq_head(), was.cq_tail() - was.cq_head());
	uint32_t words[] = {ring.sq_head(), ring.sq_tail(), ring.cq_head(), ring.cq_tail()};
	EXPECT_EQ(ring.sq_ring(), std::string(reinterpret_cast<const char *>(words), sizeof(words)));
	EXPECT_LT(counter_steps(ring).count(), 1024u);
}

TEST(UringCounters, rebased_ones_stand_for_the_same_slots)
{
	for (uint32_t head : {1U << 20, (1U << 31) + 5, ~0U - 1})
		for (uint32_t unread : {0U, 7U, 512U}) {
			images::Ring was = far_ring(head, head - 300, unread), ring = was;
			ASSERT_TRUE(rebase_counters(Rebase::kAll, ring));
			expect_same_places(was, ring);
			EXPECT_FALSE(rebase_counters(Rebase::kAll, ring)) << "there is nothing to gain any more";
		}
}

TEST(UringCounters, rebased_are_those_that_were_asked_for)
{
	images::Ring ring = far_ring(100'000, 5'000'000, 1);
	EXPECT_FALSE(rebase_counters(Rebase::kNone, ring));
	ASSERT_TRUE(rebase_counters(Rebase::kCq, ring));
	EXPECT_EQ(ring.sq_head(), 100'000u);
	EXPECT_LT(ring.cq_tail(), 100'000u + 512);
}

} // namespace bpfckpt::uring
