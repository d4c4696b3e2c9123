// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Provided buffers: the next request takes the buffer that it would have taken.
#include <algorithm>
#include <thread>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kSqpoll = 1U << 1, kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13;

void run_on_one_ring(const std::string &program, unsigned flags, const std::function<void(const Json &ring)> &verify)
{
	SCOPED_TRACE("flags " + std::to_string(flags));
	ScenarioOptions options;
	options.args = {std::to_string(flags)};
	options.verify = [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		verify(document["rings"][0]);
	};
	run_scenario(program, options);
}

void run_provided(unsigned flags)
{
	run_on_one_ring("uring_provided", flags, [](const Json &ring) {
		expect_complete(ring, 5);
		EXPECT_EQ(ring["buffer_groups"].size(), 4u);
		for (const Json &group : where(ring["buffer_groups"], "ring", true))
			EXPECT_EQ(number(group["tail"]) - number(group["head"]), 16u) << group;
		EXPECT_EQ(where(ring["buffer_groups"], "incremental", true).size(), 1u);
		EXPECT_EQ(where(ring["buffer_groups"], "kernel_memory", true).size(), 1u);
	});
}

void run_sends(unsigned flags)
{
	run_on_one_ring("uring_provided_sends", flags, [](const Json &ring) {
		expect_complete(ring, 9);
		Json sends = where(ring["in_flight"], "opcode", "IORING_OP_SEND");
		ASSERT_EQ(sends.size(), 6u);
		// Those of classic groups do since v6.18.
		EXPECT_GE(std::ranges::count_if(sends, [](const Json &one) { return one.contains("taken_buffer"); }), 3)
			<< sends;
	});
}

} // namespace

TEST(UringProvided, the_next_buffer_is_the_one_that_was_to_come)
{
	run_provided(0);
	run_provided(kSingleIssuer | kDeferTaskrun);
}

TEST(UringProvided, with_a_submission_thread)
{
	run_provided(kSqpoll);
}

TEST(UringProvided, sends_keep_the_buffer_that_they_have_taken)
{
	run_sends(0);
	run_sends(kSingleIssuer | kDeferTaskrun);
}

TEST(UringProvided, sends_of_a_submission_thread)
{
	run_sends(kSqpoll);
}

// A deadline on the wall clock passes while there is no process.
TEST(UringProvided, a_read_that_finds_no_buffer_is_told_so)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_provided_sends", {"0", "timer"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	ASSERT_EQ(scenario.dump({}).exit, 0);
	std::this_thread::sleep_for(std::chrono::seconds(3));
	ASSERT_TRUE(scenario.restore());
	EXPECT_TRUE(scenario.go());
}

TEST(UringProvided, sends_of_several_buffers_or_of_a_part_of_one)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun})
		run_on_one_ring("uring_bundles", flags, [](const Json &ring) {
			expect_complete(ring, 4);
			EXPECT_EQ(request_of(ring, 1)["iovecs"].size(), 4u);
			EXPECT_EQ(request_of(ring, 2)["buffers_left"], true);
			EXPECT_EQ(request_of(ring, 3)["buffer_kept"], true);
		});
	run_scenario("uring_provided_sends", {.args = {"0", "incremental"}});
	run_scenario("uring_provided_sends", {.args = {"0", "bundle"}});
}

TEST(UringProvided, sends_of_several_buffers_of_an_incremental_ring_are_refused)
{
	run_refusal("uring_provided_sends", "of a group that is no plain ring of them", {},
		    {"0", "incremental bundle"});
}

// A read keeps the buffer that it has taken.
TEST(UringProvided, reads_with_a_classic_buffer_and_those_that_find_none)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun, kSqpoll})
		run_on_one_ring("uring_classic_reads", flags, [](const Json &ring) { expect_complete(ring, 4); });
}

} // namespace bpfckpt::selftests
