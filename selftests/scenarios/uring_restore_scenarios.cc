// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings with nothing in flight come back: the programs go on using them and check each word themselves.
#include <cstdlib>
#include <ctime>

#include <set>
#include <string>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kClamp = 1U << 4, kSubmitAll = 1U << 7, kCoopTaskrun = 1U << 8, kSqe128 = 1U << 10,
		   kCqe32 = 1U << 11, kCqeMixed = 1U << 18, kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13,
		   kNoSqArray = 1U << 16;

void run_queues(unsigned flags, unsigned entries, unsigned requests, unsigned silent = 0)
{
	SCOPED_TRACE("flags " + std::to_string(flags) + ", requests " + std::to_string(requests));
	ScenarioOptions options;
	options.args = {std::to_string(flags), std::to_string(entries), std::to_string(requests),
			std::to_string(silent)};
	options.verify = [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		EXPECT_EQ(document["rings"][0].value("flags", 0u), flags);
		EXPECT_EQ(document["rings"][0]["cqes"].size(), 5u);
	};
	run_scenario("uring_queues", options);
}

} // namespace

TEST(UringRestore, counters_and_queues_are_what_they_were)
{
	run_queues(0, 8, 1000);
	run_queues(kSingleIssuer | kDeferTaskrun | kCoopTaskrun | kSubmitAll, 64, 100'003);
}

TEST(UringRestore, counters_out_of_reach_are_refused_before_anything_is_made)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_queues", {"0", "64", "100003"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	DumpResult dumped = scenario.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output refused = bpfckpt({"restore", "-d", "-D", dumped.dir, "--ring-counter-budget", "1ms"});
	EXPECT_EQ(refused.exit, 3);
	EXPECT_NE(refused.err.find("--ring-counter-budget"), std::string::npos) << refused.err;
	EXPECT_NE(refused.err.find("ring 1"), std::string::npos) << refused.err;
	ASSERT_TRUE(scenario.restore());
	ASSERT_TRUE(scenario.go());
}

TEST(UringRestore, counters_go_on_from_where_they_were)
{
	run_scenario("uring_counters", {.args = {"1000000"}});
}

// Of multishot requests come many more completions than there were submissions: within the seconds that are the
// default.
TEST(UringRestore, completions_without_submissions)
{
	run_scenario("uring_counters", {.args = {"1000", "5000000"}});
	run_scenario("uring_counters", {.args = {"1000", "2000000", std::to_string(kSingleIssuer | kDeferTaskrun)}});
}

// The second dump tells which they were after the restore.
static void expect_rebased(const char *which, const Args &counters, uint32_t most_submissions)
{
	SCOPED_TRACE(which);
	Scenario scenario;
	Args args = {counters[0], counters[1], "0", which};
	SCENARIO_START(scenario, "uring_counters", args);
	if (!restore_obstacle().empty())
		GTEST_SKIP() << restore_obstacle();
	DumpResult dumped = scenario.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Args budget = {"--ring-counter-budget", "5ms"};
	Output refused = bpfckpt({"restore", "-d", "-D", dumped.dir, budget[0], budget[1]});
	EXPECT_EQ(refused.exit, 3);
	EXPECT_NE(refused.err.find("--rebase-counters cq|all"), std::string::npos) << refused.err;
	ASSERT_TRUE(scenario.restore({budget[0], budget[1], "--rebase-counters", which}));
	ASSERT_TRUE(scenario.go());
	DumpResult again = scenario.dump({});
	ASSERT_EQ(again.exit, 0);
	Json ring = scenario.show()["rings"][0];
	EXPECT_LE(ring["sq_head"], most_submissions);
	EXPECT_LE(ring["cq_tail"], 2000u);
	ASSERT_TRUE(scenario.restore());
	ASSERT_TRUE(scenario.go());
}

TEST(UringRestore, counters_out_of_reach_are_rebased_for_who_asks_for_it)
{
	expect_rebased("cq", {"1000", "3000000"}, 1100);
	expect_rebased("all", {"3000000", "1000"}, 1000);
}

// Each round goes 13 steps on. The first one is before the restore, the second takes the restored ring beyond 2^31, or
// over the end of the 32 bits.
TEST(UringRestore, counters_far_out)
{
	if (!getenv("TEST_LONG"))
		GTEST_SKIP() << "counting to 2^31 and 2^32 takes minutes: make test-long";
	for (const char *count : {"2147483628", "4294967276"}) {
		SCOPED_TRACE(count);
		run_scenario("uring_counters", {.args = {count},
						.restore_args = {"--ring-counter-budget", "30m", "--timeout", "40m"},
						.deadline = std::chrono::minutes(1)});
	}
}

TEST(UringRestore, a_ring_without_sq_array)
{
	run_queues(kNoSqArray | kClamp, 32, 77);
}

// Nothing takes the head of such a queue beyond the completions but the requests whose completions these are.
TEST(UringRestore, completions_that_a_ring_without_sq_array_owes)
{
	for (const char *where : {"overflow", "sqpoll", "mixed", "deferred"}) {
		SCOPED_TRACE(where);
		run_scenario("uring_owed", {.args = {where}});
	}
}

TEST(UringRestore, completions_of_32_bytes_that_did_not_fit)
{
	for (const char *kind : {"cqe32", "sqpoll", "deferred", "bare", "mixed", "mixed_bare"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_wide", {.args = {kind}});
	}
}

TEST(UringRestore, requests_that_lie_with_their_thread)
{
	for (const char *which : {"cancelled", "timeout", "fsync", "poll", "futexes"}) {
		SCOPED_TRACE(which);
		run_scenario("uring_deferred", {.args = {which}});
	}
}

TEST(UringRestore, requests_that_left_out_their_completions)
{
	run_queues(0, 16, 5000, 4000);
	run_queues(kNoSqArray, 16, 5000, 4000);
}

TEST(UringRestore, files_buffers_personalities_and_eventfd_work_as_before)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun}) {
		ScenarioOptions options;
		options.args = {std::to_string(flags)};
		options.verify = [](const Json &document) {
			ASSERT_EQ(document["rings"].size(), 1u);
			const Json &ring = document["rings"][0];
			EXPECT_GE(ring["fixed_files"].size(), 1000u);
			EXPECT_EQ(ring["buffers"].size(), 2u);
			EXPECT_EQ(ring["personalities"].size(), 3u);
		};
		run_scenario("uring_fixed", options);
	}
}

TEST(UringRestore, eventfds_are_told_of_what_they_were_told)
{
	for (const char *kind : {"async", "silent", "shared", "closed"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_eventfd", {.args = {kind}});
	}
}

TEST(UringRestore, an_eventfd_that_others_read_is_refused)
{
	run_refusal("uring_eventfd", "its eventfd is held by others than this tree", {}, {"outside"});
}

TEST(UringRestore, a_thread_that_alone_may_submit)
{
	run_scenario("uring_issuer");
}

TEST(UringRestore, workers_keep_their_limits_and_cpus)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_issuer");
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	auto verify = [&] {
		Json rings = scenario.inspect()["rings"];
		ASSERT_EQ(rings.size(), 2u);
		EXPECT_EQ(where(rings, "clock_id", CLOCK_BOOTTIME).size(), 1u);
		for (const Json &ring : rings) {
			EXPECT_EQ(number(ring["bounded_limit"]), 3u);
			ASSERT_GE(ring["tasks"].size(), 1u);
			EXPECT_EQ(number(ring["tasks"][0]["unbounded_max"]), 7u);
			EXPECT_EQ(ring["tasks"][0]["affinity"], "AQ==");
		}
	};
	verify();
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(scenario.dump({}).exit, 0);
		ASSERT_TRUE(scenario.restore());
		verify();
		ASSERT_TRUE(scenario.go());
	}
}

TEST(UringRestore, workers_of_an_sq_thread_have_cpus_of_their_own)
{
	ScenarioOptions options;
	options.verify = [](const Json &document) {
		std::multiset<std::string> masks;
		for (const Json &ring : document["rings"])
			for (const Json &task : ring["tasks"])
				masks.insert(task["affinity"]);
		EXPECT_EQ(masks, (std::multiset<std::string>{"AQ==", "Ag==", "Ag=="}));
	};
	run_scenario("uring_affinity", options);
}

TEST(UringRestore, rings_of_several_processes)
{
	run_scenario("uring_shared");
}

TEST(UringRestore, entries_of_twice_the_size)
{
	run_queues(kSqe128 | kCqe32, 16, 300);
	run_queues(kSqe128 | kCqe32 | kSingleIssuer | kDeferTaskrun, 16, 300);
	run_queues(kCqeMixed, 16, 300);
}

// Files whose descriptors are closed, CQEs in the overflow list, SQEs not submitted.
TEST(UringRestore, completions_that_found_no_room_keep_their_order)
{
	run_scenario("uring_registered");
}

TEST(UringRestore, restrictions_hold)
{
	run_scenario("uring_restricted");
}

TEST(UringRestore, a_ring_that_is_not_enabled_yet)
{
	run_scenario("uring_restricted", {.args = {"disabled"}});
}

// A wait is entered again for the time that was left, not for all of it.
TEST(UringRestore, a_wait_for_completions_goes_on)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_wait");
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	uint64_t before = 500'000'000'000;
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(scenario.dump({}).exit, 0);
		Json threads = scenario.show()["processes"][0]["threads"];
		Json waiter = where(threads, "tid", number(scenario.fact("waiter")));
		ASSERT_EQ(waiter.size(), 1u);
		uint64_t left = number(waiter[0]["syscall"]["remaining_ns"]);
		EXPECT_GT(left, 0u);
		EXPECT_LT(left, before);
		before = left;
		ASSERT_TRUE(scenario.restore());
	}
	ASSERT_TRUE(scenario.go());
}

TEST(UringRestore, workers_are_as_many_as_the_process_was_allowed)
{
	run_scenario("uring_nproc");
}

} // namespace bpfckpt::selftests
