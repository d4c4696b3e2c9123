// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a tree shares with processes outside is refused with both sides, and may be waived.
#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

class LeakKind : public testing::TestWithParam<const char *> {};

TEST_P(LeakKind, is_refused_with_both_sides_and_can_be_waived)
{
	Scenario s;
	SCENARIO_START(s, "leak_outside", {GetParam()});
	DumpResult refused = s.dump({"-R"}, 3);
	EXPECT_NE(refused.err.find("pid " + s.fact("outsider") + " (outsider)"), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("pid " + std::to_string(s.pid())), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("--leak all=ignore"), std::string::npos) << refused.err;
	Output checked = bpfckpt({"check", "-t", std::to_string(s.pid())});
	EXPECT_EQ(checked.exit, 3);
	EXPECT_NE((checked.out + checked.err).find("(outsider)"), std::string::npos) << checked.out << checked.err;
	checked = bpfckpt({"check", "-t", std::to_string(s.pid()), "--leak", "all=ignore"});
	EXPECT_EQ(checked.exit, 0) << checked.out << checked.err;
	s.dump({"-R", "--leak", "all=ignore"});
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

TEST(Leak, descriptors_on_their_way_between_sockets_of_others_are_counted)
{
	Scenario s;
	SCENARIO_START(s, "leak_outside", {"flight"});
	DumpResult refused = s.dump({"-R"}, 3);
	EXPECT_NE(refused.err.find("anon_inode:[eventfd] is shared with no open fd of any process (in flight"),
		  std::string::npos)
		<< refused.err;
	s.dump({"-R", "--leak", "all=ignore"});
	EXPECT_TRUE(s.check_target());
	EXPECT_TRUE(s.go());
}

INSTANTIATE_TEST_SUITE_P(Leak, LeakKind,
			 testing::Values("pipe", "socket", "eventfd", "memory", "files", "lock", "slot", "request"),
			 [](const auto &test) { return std::string(test.param); });

} // namespace bpfckpt::selftests
