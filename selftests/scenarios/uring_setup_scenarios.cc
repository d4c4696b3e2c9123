// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Rings of every kind of setup: found wherever they hang, shown, and dumped.
#include <linux/io_uring.h>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

TEST(UringSetup, a_ring_is_found_wherever_it_hangs)
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

namespace {

struct Kind {
	const char *name;
	uint32_t flags;
	size_t requests;
};

const Kind kKinds[] = {
	{"sqpoll", IORING_SETUP_SQPOLL, 1},       {"iopoll", IORING_SETUP_IOPOLL, 0},
	{"sqe128", IORING_SETUP_SQE128, 1},       {"cqe32", IORING_SETUP_CQE32, 1},
	{"disabled", IORING_SETUP_R_DISABLED, 0}, {"restricted", 0, 1},
};

} // namespace

TEST(UringSetup, every_kind_is_shown_and_dumped)
{
	for (const Kind &kind : kKinds) {
		SCOPED_TRACE(kind.name);
		Scenario scenario;
		SCENARIO_START(scenario, "uring_setup", {kind.name});
		auto verify = [&](const Json &document) {
			Json ring = ring_of_fd(document, scenario, "ring");
			EXPECT_EQ(number(ring["flags"]) & kind.flags, kind.flags);
			expect_complete(ring, kind.requests);
			expect_mapped_at(ring, {0, IORING_OFF_SQES});
			EXPECT_EQ(ring["unsupported"], Json::array());
		};
		verify(scenario.inspect());
		ASSERT_EQ(scenario.dump({"-R"}).exit, 0);
		verify(scenario.show());
		ASSERT_TRUE(scenario.check_target());
		ASSERT_TRUE(scenario.go());
	}
}

TEST(UringSetup, restrictions_are_told)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_setup", {"restricted"});
	Json ring = ring_of_fd(scenario.inspect(), scenario, "ring");
	EXPECT_EQ(ring["restrictions"]["sqe_ops"], Json::array({IORING_OP_POLL_ADD}));
	EXPECT_EQ(ring["restrictions"]["register_ops"], Json::array({IORING_REGISTER_ENABLE_RINGS}));
}

TEST(UringSetup, a_ring_in_the_memory_of_its_program)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_user_memory");
	dump_running(scenario, [&](const Json &document) {
		Json ring = ring_of_fd(document, scenario, "ring");
		expect_complete(ring, 1);
		expect_request(ring, 42, "IORING_OP_POLL_ADD", "armed poll");
		expect_mapped_at(ring, {});
		EXPECT_EQ(number(ring["cq_user_address"]), number(scenario.fact("memory")));
		EXPECT_EQ(number(ring["sq_user_address"]), number(scenario.fact("memory")) + 4096);
	});
}

TEST(UringSetup, a_ring_without_descriptor_and_mapping_is_found)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_user_memory", {"registered"});
	dump_running(scenario, [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		const Json &ring = document["rings"][0];
		expect_complete(ring, 1);
		expect_request(ring, 42, "IORING_OP_POLL_ADD", "armed poll");
		const Json &registered = document["processes"][0]["threads"][0]["registered_rings"];
		ASSERT_EQ(registered.size(), 1u);
		EXPECT_EQ(registered[0]["ring"], ring["id"]);
	});
}

TEST(UringSetup, a_ring_whose_memory_the_program_has_discarded_is_refused_by_name)
{
	run_refusal("uring_user_memory", "that is not where the program could see it", {}, {"discarded"});
}

TEST(UringSetup, a_ring_inherited_over_fork_is_one_ring_in_two_processes)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_setup", {"forked"});
	dump_running(scenario, [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		const Json &ring = document["rings"][0];
		expect_complete(ring, 1);
		ASSERT_EQ(document["processes"].size(), 2u);
		for (const Json &process : document["processes"])
			EXPECT_EQ(where(process["files"], "file", ring["file"]).size(), 1u);
		std::set<uint64_t> spaces;
		for (const Json &mapping : ring["mappings"])
			spaces.insert(number(mapping["address_space"]));
		EXPECT_EQ(spaces.size(), 2u);
	});
}

namespace {

struct RefusedRing {
	const char *state, *message;
};

} // namespace

class UringRefused : public testing::TestWithParam<RefusedRing> {};

TEST_P(UringRefused, by_name)
{
	run_refusal("uring_refused", GetParam().message, {}, {GetParam().state});
}

INSTANTIATE_TEST_SUITE_P(Uring, UringRefused,
			 testing::Values(RefusedRing{"ia32", "it was set up by a 32-bit program"},
					 RefusedRing{"dead", "the only thread that may submit to it has exited"},
					 RefusedRing{"replaced",
						     "the registered buffer that it was submitted with has been "
						     "replaced"},
					 RefusedRing{"tag", "the tag of a replaced resource is still to be told"},
					 RefusedRing{"mixed", "it has SQEs of two sizes"},
					 RefusedRing{"command", "IORING_OP_URING_CMD"}),
			 [](const auto &ring) { return std::string(ring.param.state); });

} // namespace bpfckpt::selftests
