// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Provided buffers: the next request takes the buffer that it would have taken.
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kSqpoll = 1U << 1, kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13;

void run_provided(unsigned flags)
{
	SCOPED_TRACE("flags " + std::to_string(flags));
	ScenarioOptions options;
	options.args = {std::to_string(flags)};
	options.verify = [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		const Json &ring = document["rings"][0];
		expect_complete(ring, 5);
		EXPECT_EQ(ring["buffer_groups"].size(), 4u);
		for (const Json &group : where(ring["buffer_groups"], "ring", true))
			EXPECT_EQ(number(group["tail"]) - number(group["head"]), 16u) << group;
		EXPECT_EQ(where(ring["buffer_groups"], "incremental", true).size(), 1u);
		EXPECT_EQ(where(ring["buffer_groups"], "kernel_memory", true).size(), 1u);
	};
	run_scenario("uring_provided", options);
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

} // namespace bpfckpt::selftests
