// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/scenarios/driver.h"

#include <csignal>
#include <filesystem>

namespace bpfckpt::selftests {

TEST(Restore, threads_go_on_and_can_be_joined)
{
	run_scenario("restore_threads");
}

TEST(Restore, sessions_and_groups_outlive_their_leaders)
{
	run_scenario("restore_tree");
}

TEST(Restore, root_directories_login_uid_and_a_zombie_that_was_killed)
{
	run_scenario("restore_roots");
}

TEST(Restore, stacks_grow_sparse_memory_stays_sparse_and_mutexes_are_handed_on)
{
	run_scenario("restore_growth");
}

TEST(Restore, a_pid_in_use_is_named_and_nothing_is_created)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	DumpResult dumped = s.dump({"-R"});
	ASSERT_EQ(dumped.exit, 0);
	Output restored = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(restored.exit, 6);
	EXPECT_NE(restored.err.find("is in use by pid " + std::to_string(s.pid()) + " (harness_idle)"),
		  std::string::npos)
		<< restored.err;
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

TEST(Restore, a_file_that_changed_is_named_and_nothing_is_created)
{
	Scenario s;
	SCENARIO_START(s, "file_named");
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	for (const auto &entry : std::filesystem::directory_iterator(s.work_dir()))
		if (entry.is_regular_file())
			std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) + 1);
	Output restored = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(restored.exit, 6) << restored.err;
	EXPECT_NE(restored.err.find(s.work_dir()), std::string::npos) << restored.err;
	EXPECT_LT(kill(s.pid(), 0), 0) << "a process was left behind";
}

TEST(Restore, a_dry_run_creates_nothing)
{
	Scenario s;
	SCENARIO_START(s, "harness_idle");
	DumpResult dumped = s.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output plan = bpfckpt({"restore", "--dry-run", "-D", dumped.dir});
	EXPECT_EQ(plan.exit, 0) << plan.err;
	EXPECT_NE(plan.out.find("creates pid " + std::to_string(s.pid())), std::string::npos) << plan.out;
	Output stats = bpfckpt({"restore", "--dry-run", "--stats", "json", "-D", dumped.dir});
	EXPECT_EQ(stats.exit, 0) << stats.err;
	Json told = Json::parse(stats.out, nullptr, false);
	EXPECT_EQ(told.value("dry_run", false), true) << stats.out;
	EXPECT_EQ(told.value("processes", 0), 1) << stats.out;
	EXPECT_LT(kill(s.pid(), 0), 0);
}

} // namespace bpfckpt::selftests
