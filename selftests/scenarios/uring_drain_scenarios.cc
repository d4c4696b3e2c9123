// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How rings come to rest: by waiting, by a thread that is lent to its own task work, and what says that they did.
#include "selftests/scenarios/process.h"
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

// The only ring's.
Json drain_of(const DumpResult &dump)
{
	const Json drains = dump.stats.is_object() ? dump.stats.value("drains", Json::array()) : Json::array();
	EXPECT_EQ(drains.size(), 1u) << dump.out;
	return drains.empty() ? Json::object() : drains[0];
}

void expect_lent(const DumpResult &dump)
{
	Json drain = drain_of(dump);
	EXPECT_EQ(drain["needed"], "enter") << drain;
	EXPECT_GT(number(drain["lent"]), 0u) << drain;
	EXPECT_EQ(drain["found"], drain["counted"]) << drain;
	EXPECT_EQ(number(dump.stats["injected_syscalls"]), number(drain["lent"])) << dump.out;
}

} // namespace

TEST(UringDrain, chains_that_only_their_submitter_can_go_on_with_are_ended_by_it)
{
	for (const char *mode : {"auto", "enter"}) {
		SCOPED_TRACE(mode);
		Scenario scenario;
		SCENARIO_START(scenario, "uring_drain", {"defer"});
		for (int round = 0; round < 5; round++) {
			DumpResult dump = scenario.dump({"-R", "--drain", mode});
			ASSERT_EQ(dump.exit, 0);
			expect_lent(dump);
			Json ring = ring_of_fd(scenario.show(), scenario, "ring");
			// The last of a chain may still be to begin: restore submits it, as the submitter would.
			for (const Json &request : ring["in_flight"]) {
				EXPECT_EQ(number(request["link"]), 0u) << request;
				EXPECT_TRUE(request["class"] == "COMPLETED" || request["class"] == "REARMABLE")
					<< request;
			}
			ASSERT_TRUE(scenario.check_target());
			ASSERT_TRUE(scenario.go());
		}
		for (int life = 0; life < 2; life++) {
			DumpResult dump = scenario.dump({"--drain", mode});
			ASSERT_EQ(dump.exit, 0);
			expect_lent(dump);
			ASSERT_TRUE(scenario.restore());
			ASSERT_TRUE(scenario.go());
		}
	}
}

TEST(UringDrain, without_lending_threads_such_chains_are_refused)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_drain", {"defer"});
	DumpResult refused = scenario.dump({"-R", "--drain", "observe"}, 3);
	EXPECT_NE(refused.err.find("is done and not told yet"), std::string::npos) << refused.err;
	ASSERT_TRUE(scenario.check_target());
	ASSERT_TRUE(scenario.go());
}

// The other thread is stopped, too.
TEST(UringDrain, a_thread_that_waits_for_another_while_it_is_lent_is_let_go)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_drain", {"faulting"});
	for (const char *how : {"-R", "--forensic"}) {
		DumpResult refused = scenario.dump({how, "--drain", "enter", "--drain-timeout", "0.5"}, 7);
		EXPECT_NE(refused.err.find("does not come back from a system call"), std::string::npos) << refused.err;
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go());
	}
}

TEST(UringDrain, off_names_what_is_under_way)
{
	run_refusal("uring_blocked_write", "requests have not finished: IORING_OP_WRITE x 5", {"--drain", "off"});
}

TEST(UringDrain, off_does_for_a_ring_at_rest)
{
	run_scenario("uring_drain", {.args = {"idle"}, .dump_args = {"--drain", "off"}});
}

TEST(UringDrain, a_barrier_is_for_trees_that_end)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_drain", {"idle"});
	for (const char *fate : {"-R", "-s", "--dry-run"}) {
		DumpResult refused = scenario.dump({fate, "--drain", "nop"}, 2);
		EXPECT_NE(refused.err.find("is for a tree that ends with the dump"), std::string::npos) << refused.err;
	}
	ASSERT_TRUE(scenario.check_target());
	ASSERT_TRUE(scenario.go());
}

TEST(UringDrain, a_barrier_confirms_what_is_at_rest_and_the_program_never_sees_it)
{
	for (const char *ring : {"idle", "single", "sqpoll"}) {
		SCOPED_TRACE(ring);
		Scenario scenario;
		SCENARIO_START(scenario, "uring_drain", {ring});
		for (int life = 0; life < 3; life++) {
			DumpResult dump = scenario.dump({"--drain", "nop"});
			ASSERT_EQ(dump.exit, 0);
			EXPECT_EQ(drain_of(dump)["barrier"], "confirmed") << dump.out;
			ASSERT_TRUE(scenario.restore());
			ASSERT_TRUE(scenario.go());
		}
	}
}

TEST(UringDrain, a_barrier_is_not_sent_where_it_would_wait)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_drain", {"armed"});
	DumpResult dump = scenario.dump({"--drain", "nop"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_EQ(drain_of(dump)["barrier"], "not asked: requests wait in it") << dump.out;
	ASSERT_TRUE(scenario.restore());
	ASSERT_TRUE(scenario.go());
}

TEST(UringDrain, a_barrier_is_not_sent_by_a_thread_that_may_not_make_every_call)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_drain", {"seccomp"});
	DumpResult dump = scenario.dump({"--forensic", "--drain", "nop"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_EQ(drain_of(dump)["barrier"], "not asked: the tree is dumped for inspection only") << dump.out;
}

// 8 rings with 128 requests each, in constant use.
static void drain_load(const Args &args)
{
	constexpr uint64_t kLimitUs = 1'000'000;
	constexpr milliseconds kRound{60000};
	Scenario scenario;
	SCENARIO_START(scenario, "uring_load", args);
	auto expect_in_time = [&](const DumpResult &dump) {
		ASSERT_EQ(dump.exit, 0);
		EXPECT_LT(number(dump.stats["drain_us"]), kLimitUs * static_cast<uint64_t>(patience())) << dump.out;
		for (const Json &drain : dump.stats["drains"])
			EXPECT_EQ(drain["found"], drain["counted"]) << drain;
	};
	for (int round = 0; round < 3; round++) {
		expect_in_time(scenario.dump({"-R"}));
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go(kRound));
	}
	for (int life = 0; life < 2; life++) {
		expect_in_time(scenario.dump({}));
		ASSERT_TRUE(scenario.restore());
		ASSERT_TRUE(scenario.go(kRound));
	}
}

TEST(UringDrain, eight_rings_in_constant_use_by_direct_io_drain_in_a_second)
{
	drain_load({"direct"});
}

TEST(UringDrain, eight_rings_in_constant_use_by_buffered_io_drain_in_a_second)
{
	drain_load({"buffered"});
}

TEST(UringDrain, so_do_rings_that_defer_task_work)
{
	drain_load({"direct", "0x3000"}); // SINGLE_ISSUER, DEFER_TASKRUN
}

TEST(UringDrain, so_do_rings_with_a_submission_thread)
{
	drain_load({"direct", "0x2"}); // SQPOLL
}

} // namespace bpfckpt::selftests
