// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The harness itself: what goes wrong in a program must not go unnoticed, and nothing may stay behind.
#include <filesystem>

#include <gtest/gtest-spi.h>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

TEST(Harness, a_program_is_isolated_and_checks_itself)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	EXPECT_EQ(s.fact("answer"), "42");
	EXPECT_TRUE(s.go());
	EXPECT_TRUE(s.go());
	EXPECT_TRUE(s.check_target());
}

TEST(Harness, nothing_stays_behind)
{
	std::string dir;
	pid_t pid = 0;
	{
		Scenario s;
		SCENARIO_START(s, "harness_idle");
		dir = s.work_dir();
		pid = s.pid();
	}
	EXPECT_FALSE(std::filesystem::exists(dir));
	EXPECT_EQ(status_field(pid, "State"), "");
}

// EXPECT_NONFATAL_FAILURE runs its statement where locals cannot be seen.
static Scenario *failing;

TEST(Harness, a_failed_check_fails_the_test)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle", {"fail"});
	failing = &s;
	EXPECT_TRUE(s.go());
	EXPECT_NONFATAL_FAILURE(EXPECT_FALSE(failing->go()), "round 2 was to fail");
	EXPECT_TRUE(s.go());
}

TEST(Harness, the_death_of_a_program_fails_the_test)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle", {"die"});
	failing = &s;
	EXPECT_TRUE(s.go());
	EXPECT_NONFATAL_FAILURE(EXPECT_FALSE(failing->go()), "ended before ok.2");
}

TEST(Harness, a_failed_set_up_fails_the_test)
{
	Scenario s;
	failing = &s;
	EXPECT_NONFATAL_FAILURE(EXPECT_FALSE(failing->start("harness_idle", {"unready"})), "set-up failed");
}

TEST(Harness, a_program_may_skip)
{
	Scenario s;
	EXPECT_FALSE(s.start("harness_idle", {"skip"}));
	EXPECT_EQ(s.skip_reason(), "this kernel lacks nothing");
}

TEST(Harness, commands_report_their_end)
{
	EXPECT_EQ(run_command({"sh", "-c", "echo out; echo err >&2; exit 5"}).exit, 5);
	EXPECT_EQ(run_command({"sh", "-c", "echo err >&2"}).err, "err\n");
	EXPECT_EQ(run_command({"sh", "-c", "kill -9 $$"}).exit, 128 + 9);
	EXPECT_NONFATAL_FAILURE(run_command({"sleep", "5"}, milliseconds(50)), "did not end within");
}

TEST(Harness, smallest_program_survives_a_dump)
{
	run_scenario("harness_idle", {.verify = [](const Json &document) {
			     ASSERT_EQ(document["processes"].size(), 1u);
			     EXPECT_EQ(document["processes"][0]["comm"], "harness_idle");
		     }});
}

} // namespace bpfckpt::selftests
