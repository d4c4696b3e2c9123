// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Requests that wait come back: submitted again, and told once.
#include <functional>
#include <memory>

#include <liburing.h>

#include "selftests/scenarios/uring_json.h"

namespace bpfckpt::selftests {

namespace {

// The program leaves out what this kernel has no opcode for.
bool is_known(int opcode)
{
	std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(io_uring_get_probe(),
									      io_uring_free_probe);
	return probe && io_uring_opcode_supported(probe.get(), opcode);
}

constexpr int kFutexWait = 51, kFutexWaitv = 53, kEpollWait = 59;
constexpr unsigned kSingleIssuer = 1U << 12, kDeferTaskrun = 1U << 13;

void run_rearm(unsigned flags, size_t requests)
{
	SCOPED_TRACE("flags " + std::to_string(flags));
	for (int opcode : {kFutexWait, kFutexWaitv, kEpollWait})
		requests -= !is_known(opcode);
	if (flags & kDeferTaskrun)
		requests -= !is_known(kFutexWait);
	ScenarioOptions options;
	options.args = {std::to_string(flags)};
	options.verify = [&](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		expect_complete(document["rings"][0], requests);
	};
	run_scenario("uring_rearm", options);
}

// Once in a plain ring, once in one whose issuer runs all task work: the program's first argument.
void run_plain_and_deferred(const std::string &program, const std::function<void(const Json &)> &verify)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		run_scenario(program, {.args = {std::to_string(flags)}, .verify = verify});
	}
}

} // namespace

TEST(UringRearm, every_request_is_told_once)
{
	run_rearm(0, 21);
}

TEST(UringRearm, every_request_of_a_single_issuer_is_told_once)
{
	run_rearm(kSingleIssuer, 21);
	run_rearm(kSingleIssuer | kDeferTaskrun, 23);
}

// Older kernels have no WAITID, and count a message of another ring as a request.
TEST(UringRearm, messages_children_chains_and_drains)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		ScenarioOptions options;
		options.args = {std::to_string(flags)};
		options.verify = [&](const Json &document) {
			ASSERT_EQ(document["rings"].size(), 3u);
			size_t requests = 0;
			for (const Json &ring : document["rings"]) {
				EXPECT_TRUE(ring["complete"]);
				requests += ring["in_flight"].size() + ring["messages"].size();
			}
			EXPECT_GE(requests, flags & kDeferTaskrun ? 13u : 10u);
		};
		run_scenario("uring_messages", options);
	}
}

TEST(UringRearm, accepts_on_sockets_that_nobody_waits_for)
{
	for (unsigned flags : {0U, kSingleIssuer | kDeferTaskrun}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		ScenarioOptions options;
		options.args = {std::to_string(flags)};
		options.verify = [&](const Json &document) {
			ASSERT_EQ(document["rings"].size(), 1u);
			expect_complete(document["rings"][0], 3);
			EXPECT_TRUE(request_of(document["rings"][0], 1)["multishot"]);
			EXPECT_EQ(number(request_of(document["rings"][0], 2)["open_limit"]), 200u);
			EXPECT_EQ(number(request_of(document["rings"][0], 3)["fixed_slot"]), 1u);
		};
		run_scenario("uring_accept", options);
		options.args.emplace_back("path");
		run_scenario("uring_accept", options);
	}
}

// How many still wait depends on when the dump comes.
TEST(UringRearm, timeouts_of_several_threads_expire_once_after_restore)
{
	run_scenario("uring_threads");
}

// Events end them with an error then, and so they do after a restore.
TEST(UringRearm, requests_of_threads_and_processes_that_have_exited)
{
	for (const char *who : {"thread", "process"}) {
		SCOPED_TRACE(who);
		ScenarioOptions options;
		options.args = {who};
		options.verify = [](const Json &document) {
			ASSERT_EQ(document["rings"].size(), 2u);
			for (const Json &ring : document["rings"]) {
				EXPECT_TRUE(ring["complete"]);
				EXPECT_GE(ring["in_flight"].size(), 2u);
				for (const Json &request : ring["in_flight"])
					EXPECT_TRUE(request["exited"]) << request.dump();
			}
		};
		run_scenario("uring_exited", options);
	}
}

// Nobody else than the only thread of its process can set it up again.
TEST(UringRearm, rings_that_nobody_who_is_left_has_entered)
{
	for (const char *state : {"exec", "thread"}) {
		SCOPED_TRACE(state);
		run_scenario("uring_held", {.args = {state}});
	}
}

TEST(UringResized, processes_that_have_kept_different_parts_of_the_old_queues)
{
	run_scenario("uring_held", {.args = {"resized"}});
}

TEST(UringRearm, children_that_stop_go_on_or_are_named_by_a_descriptor)
{
	run_scenario("uring_children");
	run_refusal("uring_children", "it waits for a child to stop that is stopped", {}, {"refused"});
}

TEST(UringRearm, timeouts_that_updates_have_given_in_another_way)
{
	run_scenario("uring_timeout_updates");
}

TEST(UringRearm, futex_waits_that_have_found_different_values)
{
	run_scenario("uring_futexes");
}

TEST(UringRearm, requests_run_with_the_credentials_that_they_were_submitted_with)
{
	run_scenario("uring_credentials");
}

TEST(UringRearm, polls_of_inotify_and_processes_repeat)
{
	run_scenario("uring_polls");
	run_refusal("uring_polls", "it repeats, and has told that a process has ended", {}, {"zombie"});
}

TEST(UringRearm, rings_of_every_setup)
{
	for (const char *kind : {"defer", "registered", "mapped", "sqe128", "cqe32", "restricted", "forked", "sqpoll",
				 "iopoll", "attached", "sqpoll-user", "pinned"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_setup", {.args = {kind}});
	}
}

TEST(UringRearm, a_ring_that_polls_after_a_while)
{
	run_scenario("uring_setup", {.args = {"hybrid"}});
}

TEST(UringRearm, polls_that_are_changed_and_those_of_edges)
{
	run_scenario("uring_poll_kinds");
}

TEST(UringRearm, rings_in_memory_of_the_program)
{
	for (const char *kind : {"private", "moved", "registered", "shared"}) {
		SCOPED_TRACE(kind);
		run_scenario("uring_user_memory", {.args = {kind}});
	}
}

// What is done and not told yet, in a ring of which the issuer has not run since.
TEST(UringRearm, a_second_dump_right_after_a_restore)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_rearm", {std::to_string(kSingleIssuer | kDeferTaskrun)});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	for (int times = 0; times < 3; times++) {
		ASSERT_EQ(scenario.dump({}).exit, 0);
		ASSERT_TRUE(scenario.restore());
	}
	ASSERT_TRUE(scenario.go());
}

TEST(UringRearm, vectors_of_parts_of_a_registered_buffer)
{
	run_plain_and_deferred("uring_fixed_vectors", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 2u);
		const Json &ring = document["rings"][0];
		expect_complete(ring, 5);
		expect_complete(document["rings"][1], 2);
		expect_request(ring, 1, "IORING_OP_READV_FIXED", "armed poll");
		expect_request(ring, 3, "IORING_OP_WRITEV_FIXED", "armed poll");
		expect_request(ring, 5, "IORING_OP_READV_FIXED", "link member");
		for (unsigned request : {1U, 2U, 3U, 5U})
			EXPECT_EQ(request_of(ring, request)["iovecs"].size(), 3u);
	});
}

// With a zombie and a stopped child, of which the program was told.
TEST(UringRearm, signals_that_are_read_and_polled_for)
{
	run_plain_and_deferred("uring_signals", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		expect_complete(document["rings"][0], 4);
	});
	run_refusal("uring_signals", "has told of a signal that is still pending", {}, {"0", "pending"});
}

TEST(UringRearm, an_epoll_instance_that_is_polled)
{
	run_plain_and_deferred("uring_polled_epoll", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 1u);
		expect_complete(document["rings"][0], 2);
	});
	run_refusal("uring_polled_epoll", "has told of events that nobody has fetched", {}, {"0", "told"});
}

// What they point to is the kernel's by now: path names, attributes, an event.
TEST(UringRearm, names_attributes_and_events_that_the_kernel_has_copied)
{
	run_plain_and_deferred("uring_names", [](const Json &document) {
		ASSERT_EQ(document["rings"].size(), 2u);
		const Json &chain = document["rings"][0], &drained = document["rings"][1];
		expect_complete(chain, 13);
		expect_complete(drained, 4);
		expect_request(chain, 2, "IORING_OP_MKDIRAT", "link member");
		EXPECT_EQ(request_of(chain, 3)["path"], "to/nowhere");
		EXPECT_EQ(request_of(chain, 5)["path2"], "renamed");
		EXPECT_EQ(request_of(chain, 8)["path"].get<std::string>().size(), 2999u);
		EXPECT_EQ(request_of(chain, 9)["attribute"], "user.path");
		expect_request(drained, 16, "IORING_OP_UNLINKAT", "deferred");
	});
}

TEST(UringRearm, ten_thousand_polls_on_ten_thousand_fixed_files)
{
	run_scenario("uring_many");
}

} // namespace bpfckpt::selftests
