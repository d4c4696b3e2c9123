// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Trees of very many tasks: what bpfckpt itself takes for them.
#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

namespace {

constexpr long kMaxRssKb = 100 << 10;

void expect_small_dump(const char *what, int count)
{
#ifdef __SANITIZE_ADDRESS__
	GTEST_SKIP() << "AddressSanitizer takes memory of its own";
#endif
	Scenario s;
	SCENARIO_START(s, "task_many", {what, std::to_string(count)});
	Output dump =
		bpfckpt({"dump", "-R", "-t", std::to_string(s.pid()), "-D", s.new_image_dir(), "--stats", "json"});
	ASSERT_EQ(dump.exit, 0) << dump.err;
	EXPECT_EQ(Json::parse(dump.out)[what], count);
	EXPECT_LE(dump.max_rss_kb, kMaxRssKb);
	EXPECT_TRUE(s.go());
}

} // namespace

TEST(TaskScale, ten_thousand_threads_are_dumped_in_a_hundred_megabytes)
{
	expect_small_dump("threads", 10'000);
}

TEST(TaskScale, four_thousand_processes_are_dumped_in_a_hundred_megabytes)
{
	expect_small_dump("processes", 4000);
}

} // namespace bpfckpt::selftests
