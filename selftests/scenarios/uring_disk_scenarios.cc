// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Disk I/O: it ends by itself, so a dump waits for it, for as long as it is told to, and loses none of it.
#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

TEST(UringDisk, io_under_way_is_drained_and_nothing_is_lost)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_disk");
	for (int round = 0; round < 5; round++) {
		SCOPED_TRACE(round);
		// What came to its end inside the freeze stays to be posted: restore cannot do that yet.
		ASSERT_EQ(scenario.dump({"-R", "--forensic"}).exit, 0);
		Json ring = ring_of_fd(scenario.show(), scenario, "ring");
		EXPECT_TRUE(ring["complete"]);
		EXPECT_EQ(number(ring["in_flight_count"]), ring["in_flight"].size());
		for (const Json &request : ring["in_flight"])
			EXPECT_EQ(request["class"], "COMPLETED") << request;
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go());
	}
}

// The first write hangs in the middle of its work, the others behind its worker.
TEST(UringDisk, works_that_wait_behind_a_worker_are_found)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_blocked_write");
	Json ring = ring_of_fd(scenario.inspect(), scenario, "ring");
	expect_complete(ring, 5);
	std::multiset<std::string> places;
	for (const Json &request : ring["in_flight"]) {
		EXPECT_EQ(request["opcode"], "IORING_OP_WRITE");
		EXPECT_EQ(request["class"], "BOUNDED");
		places.insert(request["where"]);
	}
	EXPECT_EQ(request_of(ring, 100)["where"], "io-wq worker");
	EXPECT_EQ(places.count("io-wq worker"), 1u);
	// Those that are submitted after the worker has taken the first one stay in the queue.
	EXPECT_EQ(places.count("io-wq hashed") + places.count("io-wq queue"), 4u);
	// It stands still: the same finding as that of a dump.
	expect_refused(ring, "requests have not finished: IORING_OP_WRITE x 5");
	Output check = bpfckpt({"check", "-t", std::to_string(scenario.pid())});
	EXPECT_EQ(check.exit, 3);
	EXPECT_NE(check.out.find("requests have not finished: IORING_OP_WRITE x 5"), std::string::npos) << check.out;
	ASSERT_TRUE(scenario.go());
}

TEST(UringDisk, what_does_not_finish_in_time_fails_the_dump_by_name)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_blocked_write");
	DumpResult late = scenario.dump({"-R", "--drain-timeout", "0.2"}, 7);
	EXPECT_NE(late.err.find("requests have not finished within 200 ms"), std::string::npos) << late.err;
	EXPECT_NE(late.err.find("IORING_OP_WRITE (user_data 0x64, io-wq worker)"), std::string::npos) << late.err;
	EXPECT_NE(bpfckpt({"show", late.dir}).exit, 0) << "a checkpoint was left behind";
	ASSERT_TRUE(scenario.check_target());
	ASSERT_TRUE(scenario.go());
	// For looking at, it is kept all the same.
	ASSERT_EQ(scenario.dump({"-R", "--forensic", "--drain-timeout", "0.2"}).exit, 0);
	Json ring = ring_of_fd(scenario.show(), scenario, "ring");
	expect_complete(ring, 5);
	expect_refused(ring, "requests have not finished: IORING_OP_WRITE x 5");
	ASSERT_TRUE(scenario.check_target());
	ASSERT_TRUE(scenario.go());
}

} // namespace bpfckpt::selftests
