// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Zero-copy sends: their notifications are requests, too, which no list has.
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13;

void expect_sends(const Json &ring, size_t requests, unsigned sends)
{
	EXPECT_EQ(ring["in_flight"].size(), requests);
	EXPECT_EQ(number(ring["notifications"]), sends);
	EXPECT_EQ(number(ring["in_flight_count"]), requests + sends);
	EXPECT_TRUE(ring["complete"]);
}

} // namespace

TEST(UringZeroCopy, sends_that_have_not_begun_are_sent_when_their_turn_comes)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		run_scenario("uring_zero_copy", {.args = {std::to_string(flags)}, .verify = [](const Json &document) {
							 size_t requests = document["rings"][0]["in_flight"].size();
							 EXPECT_GE(requests, 6u);
							 expect_sends(document["rings"][0], requests,
								      static_cast<unsigned>(requests / 3));
						 }});
	}
}

TEST(UringZeroCopy, parts_of_a_registered_buffer_are_refused)
{
	run_refusal("uring_zero_copy", "which parts of its registered buffer it sends", {}, {"0", "fixed"});
}

TEST(UringZeroCopy, one_that_waits_is_told_with_its_notification)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_zero_copy", {"0", "waiting"});
	expect_sends(scenario.inspect()["rings"][0], 1, 1);
	DumpResult refused = scenario.dump({"-R", "--tcp-established"}, 3);
	EXPECT_NE(refused.err.find("IORING_OP_SEND_ZC"), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("restore does not submit it again once it has begun"), std::string::npos)
		<< refused.err;
	ASSERT_EQ(scenario.dump({"-R", "--tcp-established", "--forensic"}).exit, 0);
	expect_sends(scenario.show()["rings"][0], 1, 1);
	ASSERT_TRUE(scenario.check_target());
	ASSERT_TRUE(scenario.go());
}

} // namespace bpfckpt::selftests
