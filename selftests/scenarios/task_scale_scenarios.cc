// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Trees of very many tasks: what bpfckpt itself takes for them.
#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

namespace {

constexpr long kMaxRssKb = 100 << 10;

// Once as it goes on, and once as it ends, which is dumped while it is stopped.
void expect_small_dumps(const char *program, const Args &args, const char *what, int count)
{
	if (is_sanitized())
		GTEST_SKIP() << "AddressSanitizer takes memory of its own";
	Scenario s;
	SCENARIO_START(s, program, args);
	for (const Args &options : {Args{"-R"}, Args{}}) {
		DumpResult dump = s.dump(options);
		ASSERT_EQ(dump.exit, 0);
		EXPECT_EQ(dump.stats[what], count);
		EXPECT_LE(dump.max_rss_kb, kMaxRssKb) << (options.empty() ? "and ends" : "-R");
		EXPECT_TRUE(options.empty() || s.go());
	}
}

} // namespace

TEST(TaskScale, ten_thousand_threads_are_dumped_in_a_hundred_megabytes)
{
	expect_small_dumps("task_many", {"threads", "10000"}, "threads", 10'000);
}

TEST(TaskScale, six_thousand_processes_are_dumped_in_a_hundred_megabytes)
{
	expect_small_dumps("task_many", {"processes", "6000"}, "processes", 6000);
}

TEST(TaskScale, a_ring_beside_six_thousand_processes_makes_no_difference)
{
	expect_small_dumps("uring_scale", {"family"}, "processes", 6000);
}

TEST(TaskScale, six_thousand_processes_that_use_a_ring_are_dumped_in_a_hundred_megabytes)
{
	expect_small_dumps("uring_scale", {"users"}, "processes", 6000);
}

} // namespace bpfckpt::selftests
