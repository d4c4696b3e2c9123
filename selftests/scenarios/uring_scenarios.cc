// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings: what each program did with the kernel is what inspect and show say, and a dump that leaves the program running
// loses no request and no completion.
#include <set>

#include <linux/io_uring.h>

#include "selftests/scenarios/driver.h"

namespace bpfckpt::selftests {

namespace {

Json ring_of_fd(const Json &document, Scenario &scenario, const std::string &fact)
{
	Json entries = where(document["processes"][0]["files"], "fd", number(scenario.fact(fact)));
	EXPECT_EQ(entries.size(), 1u);
	Json rings = entries.empty() ? Json() : where(document["rings"], "file", entries[0]["file"]);
	EXPECT_EQ(rings.size(), 1u);
	return rings.empty() ? Json() : rings[0];
}

Json request_of(const Json &ring, unsigned user_data)
{
	Json found = where(ring["in_flight"], "user_data", user_data);
	EXPECT_EQ(found.size(), 1u) << "requests with user_data " << user_data;
	return found.empty() ? Json() : found[0];
}

void expect_request(const Json &ring, unsigned user_data, const char *opcode, const char *place)
{
	Json request = request_of(ring, user_data);
	ASSERT_FALSE(request.is_null());
	EXPECT_EQ(request["opcode"], opcode);
	EXPECT_EQ(request["where"], place) << opcode;
	EXPECT_EQ(request["class"], "REARMABLE") << opcode;
	EXPECT_FALSE(request["sqe"].get<std::string>().empty()) << opcode;
}

void expect_complete(const Json &ring, size_t count)
{
	EXPECT_EQ(ring["in_flight"].size(), count);
	EXPECT_EQ(number(ring["in_flight_count"]), count);
	EXPECT_TRUE(ring["complete"]);
}

void expect_mapped_at(const Json &ring, const std::set<uint64_t> &offsets)
{
	std::set<uint64_t> found;
	for (const Json &mapping : ring["mappings"])
		found.insert(number(mapping["offset"]));
	EXPECT_EQ(found, offsets);
}

// The same holds for the program as it runs, for its images, and again after it went on for a round.
template <class Verify>
void dump_running(Scenario &scenario, Verify verify)
{
	verify(scenario.inspect());
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(scenario.dump({"-R", "--forensic", "--leak", "all=ignore"}).exit, 0);
		verify(scenario.show());
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go());
	}
}

} // namespace

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

TEST(UringScenario, a_ring_is_found_wherever_it_hangs)
{
	for (const char *kind : {"defer", "sqpoll", "registered", "mapped"}) {
		SCOPED_TRACE(kind);
		Scenario scenario;
		SCENARIO_START(scenario, "uring_setup", {kind});
		dump_running(scenario, [&](const Json &document) {
			ASSERT_EQ(document["rings"].size(), 1u);
			const Json &ring = document["rings"][0];
			expect_complete(ring, 1);
			expect_request(ring, 42, "IORING_OP_POLL_ADD", "armed poll");
			expect_mapped_at(ring, {0, IORING_OFF_SQES});
			EXPECT_EQ(ring.contains("sq_thread"), kind == std::string("sqpoll"));
		});
	}
}

TEST(UringScenario, what_restore_cannot_submit_again_refuses_the_dump)
{
	run_refusal("uring_setup", "requests wait in it: IORING_OP_POLL_ADD", {}, {"defer"});
}

} // namespace bpfckpt::selftests
