// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings: what each program did with the kernel is what inspect and show say, and a dump that leaves the program running
// loses no request and no completion.
#include <algorithm>

#include <linux/io_uring.h>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

TEST(UringScenario, requests_in_flight_are_found_in_every_place)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_in_flight");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		expect_complete(ring, 11);
		expect_request(ring, 1, "IORING_OP_POLL_ADD", "armed poll");
		expect_request(ring, 2, "IORING_OP_POLL_ADD", "armed poll");
		EXPECT_FALSE(request_of(ring, 1)["multishot"]);
		EXPECT_TRUE(request_of(ring, 2)["multishot"]);
		EXPECT_EQ(number(request_of(ring, 1)["poll_events"]), 1u);
		expect_request(ring, 3, "IORING_OP_RECV", "armed poll");
		EXPECT_EQ(number(request_of(ring, 3)["length"]), 40u);
		expect_request(ring, 4, "IORING_OP_RECV", "armed poll");
		EXPECT_TRUE(request_of(ring, 4)["multishot"]);
		EXPECT_EQ(number(request_of(ring, 4)["buffer_group"]), 7u);
		expect_request(ring, 5, "IORING_OP_TIMEOUT", "timeout");
		EXPECT_GT(number(request_of(ring, 5)["remaining_ns"]), 900'000'000'000u);
		EXPECT_LT(number(request_of(ring, 5)["remaining_ns"]), 1000'000'000'000u);
		expect_request(ring, 6, "IORING_OP_READ", "armed poll");
		expect_request(ring, 7, "IORING_OP_LINK_TIMEOUT", "link timeout");
		expect_request(ring, 8, "IORING_OP_READ", "armed poll");
		expect_request(ring, 9, "IORING_OP_NOP", "link member");
		expect_request(ring, 10, "IORING_OP_SPLICE", "io-wq worker");
		Json input = where(document["processes"][0]["files"], "fd", number(scenario.fact("splice_input")));
		ASSERT_EQ(input.size(), 1u);
		EXPECT_EQ(request_of(ring, 10)["in_flight_file2"], input[0]["file"]);
		expect_request(ring, 11, "IORING_OP_FUTEX_WAIT", "futex");
		auto next = number(request_of(ring, 8)["link"]);
		ASSERT_GE(next, 1u);
		EXPECT_EQ(number(ring["in_flight"][next - 1]["user_data"]), 9u);
	});
}

TEST(UringScenario, what_a_drain_holds_back_is_found_in_order)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_in_flight");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "drained");
		expect_complete(ring, 3);
		expect_request(ring, 12, "IORING_OP_POLL_ADD", "armed poll");
		expect_request(ring, 13, "IORING_OP_NOP", "deferred");
		expect_request(ring, 14, "IORING_OP_NOP", "deferred");
		EXPECT_EQ(number(request_of(ring, 13)["flags"]), 2u) << "IOSQE_IO_DRAIN";
		EXPECT_EQ(number(ring["held_by_drain"]), 2u);
	});
}

TEST(UringScenario, files_without_a_descriptor_are_found_with_their_paths)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_registered");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		ASSERT_EQ(ring["fixed_files"].size(), 2u);
		Json first = where(document["files"], "id", ring["fixed_files"][0]["file"]);
		ASSERT_EQ(first.size(), 1u);
		EXPECT_EQ(first[0]["kind"], "regular");
		EXPECT_EQ(first[0]["path"], scenario.work_dir() + "/hidden");
		EXPECT_EQ(number(ring["fixed_files"][0]["tag"]), 77u);
		EXPECT_EQ(number(ring["fixed_files"][1]["slot"]), 2u);
		Json second = where(document["files"], "id", ring["fixed_files"][1]["file"]);
		ASSERT_EQ(second.size(), 1u);
		EXPECT_EQ(second[0]["kind"], "eventfd");
		EXPECT_EQ(number(second[0]["eventfd"]["count"]), 5u);
	});
}

TEST(UringScenario, buffers_personality_and_eventfd_are_found)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_registered");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		ASSERT_EQ(ring["buffers"].size(), 2u);
		EXPECT_EQ(number(ring["buffers"][0]["address"]), number(scenario.fact("buffers")));
		EXPECT_EQ(number(ring["buffers"][0]["length"]), 4096u);
		EXPECT_EQ(number(ring["buffers"][1]["length"]), 100u);
		ASSERT_EQ(ring["personalities"].size(), 1u);
		EXPECT_EQ(number(ring["personalities"][0]["id"]), 1u);
		const Json &groups = ring["personalities"][0]["credentials"]["groups"];
		ASSERT_EQ(groups.size(), 100u) << "more than one record of the kernel side holds";
		for (size_t i = 0; i < groups.size(); i++)
			EXPECT_EQ(number(groups[i]), 5000 + i);
		Json event = where(document["processes"][0]["files"], "fd", number(scenario.fact("event")));
		ASSERT_EQ(event.size(), 1u);
		EXPECT_EQ(ring["eventfd"]["file"], event[0]["file"]);
	});
}

TEST(UringScenario, queues_keep_their_order)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_registered");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "queues");
		ASSERT_EQ(ring["cqes"].size(), 8u);
		ASSERT_EQ(ring["overflow"].size(), 3u);
		ASSERT_EQ(ring["unsubmitted"].size(), 2u);
		uint64_t next = number(ring["cqes"][0]["user_data"]);
		for (const char *list : {"cqes", "overflow", "unsubmitted"})
			for (const Json &entry : ring[list])
				EXPECT_EQ(number(entry["user_data"]), next++) << list;
		EXPECT_EQ(number(ring["cq_tail"]) - number(ring["cq_head"]), 8u);
		EXPECT_EQ(number(ring["sq_tail"]) - number(ring["sq_head"]), 2u);
		expect_complete(ring, 0);
	});
}

TEST(UringScenario, ten_thousand_polls_on_ten_thousand_fixed_files)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_many");
	dump_running(scenario, [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		expect_complete(document["rings"][0], 10000);
		EXPECT_EQ(document["rings"][0]["fixed_files"].size(), 10000u);
	});
}

TEST(UringScenario, ten_thousand_polls_are_printed_in_little_memory)
{
	if (is_sanitized())
		GTEST_SKIP() << "AddressSanitizer reserves terabytes of address space";
	Scenario scenario;
	SCENARIO_START(scenario, "uring_many");
	// Stacks of threads count, too; what is printed must not be in memory as a whole.
	Output output = run_command({"prlimit", "--data=134217728", bpfckpt_path(), "inspect", "-t",
				     std::to_string(scenario.pid()), "--json"});
	EXPECT_EQ(output.exit, 0) << output.err;
}

// Its lists go round in circles for whoever walks them meanwhile; a walk of a million steps would want a map for them.
TEST(UringScenario, timeouts_that_fire_all_the_while_are_read_in_time)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_churn");
	for (int i = 0; i < 5; i++) {
		Output output = bpfckpt({"inspect", "-t", std::to_string(scenario.pid()), "--rings", "--json"});
		ASSERT_EQ(output.exit, 0) << output.err;
		const Json ring = Json::parse(output.out)["rings"][0];
		EXPECT_LE(ring["in_flight"].size(), 400u);
	}
	// Timers fire in a frozen tree, too.
	for (int i = 0; i < 2; i++)
		scenario.dump({"-R"});
	EXPECT_TRUE(scenario.go());
}

TEST(UringScenario, requests_that_wait_for_other_processes_are_found)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_waiting");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		expect_complete(ring, 3);
		expect_request(ring, 1, "IORING_OP_ACCEPT", "armed poll");
		expect_request(ring, 2, "IORING_OP_WAITID", "waitid");
		Json open = request_of(ring, 3);
		EXPECT_EQ(open["opcode"], "IORING_OP_OPENAT");
		EXPECT_TRUE(open["where"].get<std::string>().starts_with("io-wq ")) << open["where"];
		// On v7.2 only the worker's stack has the name of what it opens.
		if (open["class"] == "UNKNOWN")
			return expect_refused(ring, "its path could not be read");
		EXPECT_EQ(open["class"], "REARMABLE");
		EXPECT_EQ(open["path"], scenario.fact("path")) << "longer than one record of the kernel side";
	});
}

TEST(UringScenario, a_message_of_another_ring_waits_for_its_reader)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_waiting");
	dump_running(scenario, [&](const Json &document) {
		Json receiver = ring_of_fd(document, scenario, "receiver");
		// v6.11 and v6.12 give a message a task, and count it: there it is one more request that is done, and a
		// dump lets its thread tell that.
		if (number(receiver["in_flight_count"]) == 1) {
			EXPECT_EQ(request_of(receiver, 5)["where"], "task work");
			return;
		}
		expect_complete(receiver, 0);
		const Json &told = receiver[receiver["cqes"].empty() ? "messages" : "cqes"];
		ASSERT_EQ(told.size(), 1u);
		EXPECT_EQ(number(told[0]["user_data"]), 5u);
		EXPECT_EQ(number(told[0]["res"]), 17u);
	});
}

TEST(UringScenario, buffers_that_kept_their_pages_are_dumped)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_buffers");
	ASSERT_EQ(scenario.dump({"-R"}).exit, 0);
	Json ring = ring_of_fd(scenario.show(), scenario, "ring");
	ASSERT_EQ(ring["buffers"].size(), 6u);
	for (const Json &buffer : ring["buffers"])
		EXPECT_FALSE(buffer["pages_differ"]) << buffer;
	ASSERT_TRUE(scenario.go());
}

TEST(UringScenario, requests_in_every_place_come_back)
{
	run_scenario("uring_in_flight");
}

} // namespace bpfckpt::selftests
