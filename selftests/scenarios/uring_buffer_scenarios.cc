// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers that the program's memory alone does not make again: cut off, moved, shared between rings.
#include <csignal>
#include <set>

#include <gmock/gmock.h>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

TEST(UringBuffers, a_ring_keeps_pages_that_are_no_longer_at_their_addresses)
{
	run_scenario("uring_pinned");
}

TEST(UringBuffers, pages_that_the_kernel_would_not_take_together_are_named_before_anything_is_made)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_pinned", {"punched"});
	DumpResult dumped = scenario.dump({});
	ASSERT_EQ(dumped.exit, 0);
	Output refused = bpfckpt({"restore", "-d", "-D", dumped.dir});
	EXPECT_EQ(refused.exit, 5);
	EXPECT_NE(refused.err.find("has pages of more than one memory object"), std::string::npos) << refused.err;
	EXPECT_LT(kill(scenario.pid(), 0), 0) << "a process was left behind";
}

TEST(UringBuffers, pages_that_only_rings_have_stay_one_within_a_process)
{
	run_scenario("uring_pinned_shared", {.args = {"rings"}});
}

TEST(UringBuffers, pages_that_only_rings_of_two_processes_have_are_refused_by_name)
{
	run_refusal("uring_pinned_shared", "that a buffer of another process has, too", {}, {"processes"});
}

TEST(UringBuffers, pages_that_cannot_be_brought_back_to_their_address_are_refused_by_name)
{
	run_refusal("uring_pinned_shared", "in memory that can no longer be moved", {}, {"sealed"});
}

TEST(UringBuffers, queues_of_a_ring_as_buffers_are_refused_by_name)
{
	run_refusal("uring_pinned_shared", "lies in a mapping of a ring", {}, {"queues"});
	run_refusal("uring_pinned_shared", "the pages of buffer 0 are no longer those at its address", {},
		    {"queues gone"});
}

TEST(UringBuffers, pages_that_are_elsewhere_are_shown)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_buffers", {"changed"});
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		ASSERT_EQ(ring["buffers"].size(), 6u);
		for (const Json &buffer : ring["buffers"])
			EXPECT_EQ(buffer["pages_differ"], number(buffer["slot"]) >= 4) << buffer;
		EXPECT_EQ(ring["unsupported"], Json::array());
	});
	ASSERT_EQ(scenario.dump({}).exit, 0);
	ASSERT_TRUE(scenario.restore());
	ASSERT_TRUE(scenario.go());
}

TEST(UringBuffers, cloned_buffers_stay_one)
{
	for (const char *kind : {"plain", "issuer"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_cloned", {.args = {kind}, .verify = [](const Json &document) {
						      std::set<uint64_t> objects;
						      size_t slots = 0;
						      for (const Json &ring : document["rings"])
							      for (const Json &buffer : ring["buffers"])
								      if (number(buffer["object"])) {
									      objects.insert(number(buffer["object"]));
									      slots++;
								      }
						      EXPECT_EQ(objects.size(), 5u);
						      EXPECT_EQ(slots, 14u);
					      }});
	}
}

TEST(UringHidden, content_of_files_that_only_slots_hold_is_taken_over)
{
	run_scenario("uring_hidden");
}

TEST(UringHidden, what_pipes_and_sockets_hold_that_only_slots_have_is_taken_over)
{
	run_scenario("uring_hidden_queues");
}

TEST(UringHidden, descriptors_and_credentials_on_their_way_are_refused_by_name)
{
	for (auto [kind, text] : {std::pair("rights", "1 file descriptors are in flight in a unix socket"),
				  std::pair("credentials", "credentials are in flight in a unix socket")}) {
		SCOPED_TRACE(kind);
		run_refusal("uring_hidden_queues", text, {}, {kind});
	}
}

TEST(UringRegion, registered_memory_is_registered_again)
{
	for (const char *kind : {"user", "kernel", "user waits", "kernel waits", "kernel waits issuer"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_region", {.args = {kind}});
	}
}

TEST(UringRegion, registered_memory_that_cannot_be_written_to_any_more_is_refused_by_name)
{
	run_refusal("uring_region", "its memory region is in memory that can no longer be written to", {},
		    {"user protected"});
}

TEST(UringRegion, a_mapping_without_its_beginning_is_refused_by_name)
{
	run_refusal("uring_region", "the beginning is no longer mapped", {}, {"kernel cut"});
}

TEST(UringRegion, registered_memory_that_is_too_large_is_refused_and_not_read)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_region", {"kernel large"});
	DumpResult refused = scenario.dump({"-R"}, 3);
	EXPECT_NE(refused.err.find("a memory region of 76800 pages"), std::string::npos) << refused.err;
	EXPECT_LT(refused.max_rss_kb, 200 << 10);
	ASSERT_TRUE(scenario.go());
}

TEST(UringRegion, busy_polling_is_set_again)
{
	run_scenario("uring_region", {.args = {"napi"}, .verify = [](const Json &document) {
					      EXPECT_EQ(number(document["rings"][0]["napi"]["busy_poll_ns"]), 40000u);
				      }});
}

TEST(UringResized, old_queues_that_are_still_mapped_are_memory_of_the_program)
{
	run_scenario("uring_resized",
		     {.verify = [](const Json &document) { EXPECT_EQ(document["rings"][0]["mappings"].size(), 2u); }});
}

TEST(UringCapacity, full_tables_of_files_buffers_and_personalities)
{
	// Half of the files where the limit of descriptors, which a table of files is held to, cannot rise to all of
	// them.
	run_scenario("uring_capacity", {.verify = [](const Json &document) {
			     ASSERT_EQ(document["rings"].size(), 1u);
			     const Json &ring = document["rings"][0];
			     EXPECT_THAT(ring["fixed_files"].size(), testing::AnyOf(32768u, 16384u));
			     EXPECT_EQ(ring["buffers"].size(), 1024u);
			     EXPECT_EQ(ring["personalities"].size(), 16u);
		     }});
}

} // namespace bpfckpt::selftests
