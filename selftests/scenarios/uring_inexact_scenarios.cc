// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What comes back otherwise than it was is refused, unless the user accepts it by name.
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kDefer = 1U << 12 | 1U << 13; // IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN
constexpr uint64_t kRepeating = 6, kEndless = 7, kLastOfMany = 8, kUpdated = 9;
constexpr uint64_t kSecond = 1'000'000'000;

uint64_t remaining_of(const Json &document, uint64_t timeout)
{
	return number(request_of(document["rings"][0], timeout)["remaining_ns"]);
}

} // namespace

TEST(UringInexact, parts_of_messages_are_refused_by_the_name_of_the_option)
{
	run_refusal("uring_inexact", "--allow-inexact waitall", {}, {"waitall"});
	run_refusal("uring_inexact", "--allow-inexact waitall", {"--allow-inexact", "timeout"}, {"waitall"});
	run_refusal("uring_inexact", "30 bytes of it are done already", {"--allow-inexact", "all"}, {"linked"});
}

TEST(UringInexact, parts_of_messages_are_told_as_such)
{
	for (unsigned flags : {0U, kDefer}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		run_scenario("uring_inexact",
			     {.args = {"waitall", std::to_string(flags)}, .dump_args = {"--allow-inexact", "waitall"}});
	}
}

TEST(UringInexact, what_was_accepted_is_told)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_inexact", {"waitall"});
	DumpResult dump = scenario.dump({"-R", "--allow-inexact", "timeout,waitall"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_EQ(dump.stats["accepted"], Json({{"waitall", 4}}));
	Json document = scenario.show();
	for (const Json &request : document["rings"][0]["in_flight"])
		EXPECT_EQ(request["accepted"], "waitall");
	Output told = bpfckpt({"dump", "-t", std::to_string(scenario.pid()), "--dry-run", "--allow-inexact", "timeout",
			       "--allow-inexact", "waitall"});
	EXPECT_EQ(told.exit, 0) << told.err;
	EXPECT_NE(told.out.find("accepted: 4 x waitall: a send or receive"), std::string::npos) << told.out;
	Output check = bpfckpt({"check", "-t", std::to_string(scenario.pid()), "--allow-inexact", "all"});
	EXPECT_EQ(check.exit, 0) << check.out << check.err;
}

TEST(UringInexact, repeating_timeouts_are_refused_by_the_name_of_the_option)
{
	run_refusal("uring_inexact", "--allow-inexact timeout", {"--allow-inexact", "waitall"}, {"timeout"});
}

TEST(UringInexact, repeating_timeouts_expire_as_often_as_they_would)
{
	for (unsigned flags : {0U, kDefer}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		run_scenario("uring_inexact",
			     {.args = {"timeout", std::to_string(flags)}, .dump_args = {"--allow-inexact", "timeout"}});
	}
}

TEST(UringInexact, only_what_expires_more_than_once_more_begins_its_period_anew)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_inexact", {"timeout"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	ASSERT_EQ(scenario.dump({"--allow-inexact", "timeout"}).exit, 0);
	Json before = scenario.show({"--rings"});
	ASSERT_TRUE(scenario.restore());
	Json after = scenario.inspect({"--rings"});
	EXPECT_EQ(request_of(before["rings"][0], kLastOfMany)["accepted"], "");
	EXPECT_LT(remaining_of(before, kLastOfMany), 999 * kSecond);
	EXPECT_LE(remaining_of(after, kLastOfMany), remaining_of(before, kLastOfMany));
	for (uint64_t timeout : {kRepeating, kEndless}) {
		EXPECT_EQ(request_of(before["rings"][0], timeout)["accepted"], "timeout");
		EXPECT_LT(remaining_of(before, timeout), 999 * kSecond);
		EXPECT_GT(remaining_of(after, timeout), 999 * kSecond);
	}
	EXPECT_EQ(number(request_of(after["rings"][0], kRepeating)["repeats"]), 5u);
	EXPECT_EQ(number(request_of(after["rings"][0], kUpdated)["repeats"]), 0u);
	EXPECT_GT(remaining_of(after, kUpdated), 899 * kSecond);
	EXPECT_LE(remaining_of(after, kUpdated), 900 * kSecond);
}

} // namespace bpfckpt::selftests
