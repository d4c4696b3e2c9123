// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings with many of one thing.
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

void run_scale(const char *state, const std::function<void(const Json &)> &verify)
{
	ScenarioOptions options;
	options.args = {state};
	options.verify = verify;
	run_scenario("uring_scale", options);
}

} // namespace

TEST(UringScale, ten_thousand_completions_that_did_not_fit_keep_their_order)
{
	run_scale("overflow", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		EXPECT_EQ(document["rings"][0]["overflow"].size(), 10000u - 16);
	});
}

TEST(UringScale, a_chain_of_a_hundred_in_the_middle_of_its_work)
{
	run_scale("chain", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		expect_complete(document["rings"][0], 50);
	});
}

TEST(UringScale, a_ring_for_each_thread)
{
	run_scale("threads", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 8u);
		for (const Json &ring : document["rings"])
			expect_complete(ring, 16);
	});
}

TEST(UringScale, rings_that_share_a_submission_thread)
{
	run_scale("sharing", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 4u);
		for (const Json &ring : document["rings"])
			expect_complete(ring, 16);
	});
}

} // namespace bpfckpt::selftests
