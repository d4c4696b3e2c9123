// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What comes back otherwise than it was is refused, unless the user accepts it by name.
#include <cerrno>

#include <poll.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "selftests/scenarios/process.h"
#include "selftests/scenarios/uring_json.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::selftests {

namespace {

constexpr unsigned kDefer = 1U << 12 | 1U << 13; // IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN
constexpr uint64_t kRepeating = 6, kEndless = 7, kLastOfMany = 8, kUpdated = 9;
constexpr uint64_t kSecond = 1'000'000'000;

uint64_t remaining_of(const Json &document, uint64_t timeout)
{
	return number(request_of(document["rings"][0], timeout)["remaining_ns"]);
}

// Listens, and does not answer: nobody more may wait to be accepted.
class BusyPeer {
public:
	BusyPeer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
	{
		sockaddr_in name = {};
		name.sin_family = AF_INET;
		name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		socklen_t size = sizeof(name);
		auto *address = reinterpret_cast<sockaddr *>(&name);
		EXPECT_FALSE(bind(listener_.get(), address, size) || listen(listener_.get(), 0) ||
			     getsockname(listener_.get(), address, &size));
		port_ = ntohs(name.sin_port);
		for (bool full = false; !full;) {
			UniqueFd &one =
				waiting_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
			EXPECT_TRUE(!connect(one.get(), address, size) || errno == EINPROGRESS);
			pollfd now = {.fd = one.get(), .events = POLLOUT, .revents = 0};
			full = poll(&now, 1, 50) == 0;
		}
	}
	[[nodiscard]] std::string port() const { return std::to_string(port_); }
	// From now on there is room.
	void answer()
	{
		waiting_.clear();
		EXPECT_FALSE(listen(listener_.get(), 100));
		// Who comes later waits to be accepted, and is connected.
	}
	void leave()
	{
		waiting_.clear();
		listener_.reset();
	}

private:
	UniqueFd listener_;
	uint16_t port_ = 0;
	std::vector<UniqueFd> waiting_;
};

// Its kind of request, accepted by its name, in rings with and without DEFER_TASKRUN.
void run_accepted(const std::string &kind)
{
	for (unsigned flags : {0U, kDefer}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		run_scenario("uring_inexact",
			     {.args = {kind, std::to_string(flags)}, .dump_args = {"--allow-inexact", kind}});
	}
}

} // namespace

TEST(UringInexact, parts_of_messages_are_refused_by_the_name_of_the_option)
{
	run_refusal("uring_inexact", "--allow-inexact waitall", {}, {"waitall"});
	run_refusal("uring_inexact", "--allow-inexact waitall", {"--allow-inexact", "timeout"}, {"waitall"});
	run_refusal("uring_inexact", "30 bytes of it are done already", {"--allow-inexact", "all"}, {"linked"});
}

TEST(UringInexact, parts_of_messages_are_told_as_such)
{
	run_accepted("waitall");
}

TEST(UringInexact, what_was_accepted_is_told)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_inexact", {"waitall"});
	DumpResult dump = scenario.dump({"-R", "--allow-inexact", "timeout,waitall"});
	ASSERT_EQ(dump.exit, 0);
	EXPECT_EQ(dump.stats["accepted"], Json({{"waitall", 4}}));
	Json document = scenario.show();
	for (const Json &request : document["rings"][0]["in_flight"])
		EXPECT_EQ(request["accepted"], "waitall");
	Output told = bpfckpt({"dump", "-t", std::to_string(scenario.pid()), "--dry-run", "--allow-inexact", "timeout",
			       "--allow-inexact", "waitall"});
	EXPECT_EQ(told.exit, 0) << told.err;
	EXPECT_NE(told.out.find("accepted: 4 x waitall: a send or receive"), std::string::npos) << told.out;
	Output check = bpfckpt({"check", "-t", std::to_string(scenario.pid()), "--allow-inexact", "all"});
	EXPECT_EQ(check.exit, 0) << check.out << check.err;
}

TEST(UringInexact, repeating_timeouts_are_refused_by_the_name_of_the_option)
{
	run_refusal("uring_inexact", "--allow-inexact timeout", {"--allow-inexact", "waitall"}, {"timeout"});
}

TEST(UringInexact, repeating_timeouts_expire_as_often_as_they_would)
{
	run_accepted("timeout");
}

TEST(UringInexact, only_what_expires_more_than_once_more_begins_its_period_anew)
{
	Scenario scenario;
	SCENARIO_START(scenario, "uring_inexact", {"timeout"});
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	ASSERT_EQ(scenario.dump({"--allow-inexact", "timeout"}).exit, 0);
	Json before = scenario.show({"--rings"});
	ASSERT_TRUE(scenario.restore());
	Json after = scenario.inspect({"--rings"});
	EXPECT_EQ(request_of(before["rings"][0], kLastOfMany)["accepted"], "");
	EXPECT_LT(remaining_of(before, kLastOfMany), 999 * kSecond);
	EXPECT_LE(remaining_of(after, kLastOfMany), remaining_of(before, kLastOfMany));
	const uint64_t late = kSecond * static_cast<uint64_t>(patience());
	for (uint64_t timeout : {kRepeating, kEndless}) {
		EXPECT_EQ(request_of(before["rings"][0], timeout)["accepted"], "timeout");
		EXPECT_LT(remaining_of(before, timeout), 999 * kSecond);
		EXPECT_GT(remaining_of(after, timeout), 1000 * kSecond - late);
	}
	EXPECT_EQ(number(request_of(after["rings"][0], kRepeating)["repeats"]), 5u);
	EXPECT_EQ(number(request_of(after["rings"][0], kUpdated)["repeats"]), 0u);
	EXPECT_GT(remaining_of(after, kUpdated), 900 * kSecond - late);
	EXPECT_LE(remaining_of(after, kUpdated), 900 * kSecond);
}

TEST(UringInexact, connections_that_are_being_established_are_refused_by_the_name_of_the_option)
{
	for (unsigned flags : {0U, kDefer}) {
		BusyPeer peer;
		Scenario scenario;
		SCENARIO_START(scenario, "uring_connect", {peer.port(), std::to_string(flags)});
		DumpResult refused = scenario.dump({"-R"}, 3);
		EXPECT_NE(refused.err.find("--allow-inexact connect"), std::string::npos) << refused.err;
		EXPECT_NE(refused.err.find("its connection is being established"), std::string::npos) << refused.err;
		EXPECT_NE(refused.err.find("(SYN_SENT)"), std::string::npos) << refused.err;
		DumpResult dump = scenario.dump({"-R", "--allow-inexact", "connect"});
		EXPECT_EQ(dump.stats["accepted"], Json({{"connect", 3}}));
		peer.answer();
		EXPECT_TRUE(scenario.go());
	}
}

TEST(UringInexact, connections_that_are_being_established_begin_anew)
{
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	for (unsigned flags : {0U, kDefer}) {
		SCOPED_TRACE("flags " + std::to_string(flags));
		BusyPeer peer;
		Scenario scenario;
		SCENARIO_START(scenario, "uring_connect", {peer.port(), std::to_string(flags)});
		for (int times = 0; times < 2; times++) {
			ASSERT_EQ(scenario.dump({"--allow-inexact", "connect"}).exit, 0);
			ASSERT_TRUE(scenario.restore());
		}
		peer.answer();
		EXPECT_TRUE(scenario.go());
	}
}

TEST(UringInexact, a_connection_that_nobody_takes_any_more_is_refused_to_the_program)
{
	ASSERT_TRUE(restore_obstacle().empty()) << restore_obstacle();
	BusyPeer peer;
	Scenario scenario;
	SCENARIO_START(scenario, "uring_connect", {peer.port(), "0", "refused"});
	ASSERT_EQ(scenario.dump({"--allow-inexact", "connect"}).exit, 0);
	peer.leave();
	ASSERT_TRUE(scenario.restore());
	EXPECT_TRUE(scenario.go());
}

} // namespace bpfckpt::selftests
