// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The echo server under load while it is dumped: nothing may be lost, and what inspect and show say of it is what it
// is.
#include <algorithm>
#include <csignal>
#include <iostream>

#include "selftests/scenarios/driver.h"
#include "selftests/scenarios/process.h"

namespace bpfckpt::selftests {

constexpr unsigned kClients = 100;
const Args kDumpArgs{"-R", "--tcp-established", "--forensic"};

static size_t in_flight(const Json &ring, const char *opcode)
{
	return where(ring["in_flight"], "opcode", opcode).size();
}

// Between two of its turns a connection has a recv or a send in flight, or a completion on its way; the rest always is.
static void expect_server_under_load(const Json &document)
{
	ASSERT_EQ(document["rings"].size(), 1u);
	const Json &ring = document["rings"][0];
	EXPECT_EQ(in_flight(ring, "IORING_OP_ACCEPT"), 1u);
	EXPECT_EQ(in_flight(ring, "IORING_OP_POLL_ADD"), 1u);
	EXPECT_LE(in_flight(ring, "IORING_OP_TIMEOUT"), 1u);
	EXPECT_LE(in_flight(ring, "IORING_OP_RECV") + in_flight(ring, "IORING_OP_SEND"), kClients);
	EXPECT_EQ(ring["fixed_files"].size(), kClients);
	EXPECT_TRUE(where(ring["in_flight"], "opcode", "IORING_OP_ACCEPT")[0].value("multishot", false));
}

static void expect_nothing_lost(Scenario &server, Scenario &clients)
{
	Output account = clients.stop();
	std::cout << "clients: " << account.out;
	EXPECT_EQ(account.exit, 0) << account.out;
	Output served = server.stop(SIGTERM);
	EXPECT_EQ(served.exit, 0) << served.out;
}

TEST(Echo, loses_nothing_without_dumps)
{
	Scenario server, clients;
	SCENARIO_START(server, "echo/echo_server");
	SCENARIO_START(clients, "echo/echo_clients", {server.fact("port"), std::to_string(kClients)});
	eventually([] { return false; }, milliseconds(500));
	expect_nothing_lost(server, clients);
}

TEST(Echo, clients_notice_a_dead_server)
{
	Scenario server, clients;
	SCENARIO_START(server, "echo/echo_server");
	SCENARIO_START(clients, "echo/echo_clients", {server.fact("port"), std::to_string(kClients)});
	server.stop(SIGKILL);
	EXPECT_TRUE(eventually([&] { return clients.log().find("connection") != std::string::npos; }, kDeadline));
	EXPECT_EQ(clients.stop().exit, 1);
}

TEST(Echo, inspect_and_show_see_the_server_under_load)
{
	Scenario server, clients;
	SCENARIO_START(server, "echo/echo_server");
	SCENARIO_START(clients, "echo/echo_clients", {server.fact("port"), std::to_string(kClients)});
	{
		SCOPED_TRACE("inspect");
		expect_server_under_load(server.inspect());
	}
	if (server.dump(kDumpArgs).exit == 0) {
		SCOPED_TRACE("show");
		Json document = server.show();
		expect_server_under_load(document);
		EXPECT_EQ(document["rings"][0]["in_flight"].size(), number(document["rings"][0]["in_flight_count"]));
	}
	expect_nothing_lost(server, clients);
}

TEST(Echo, established_connections_need_the_option)
{
	Scenario server, clients;
	SCENARIO_START(server, "echo/echo_server");
	SCENARIO_START(clients, "echo/echo_clients", {server.fact("port"), "3"});
	DumpResult refused = server.dump({"-R"}, 3);
	EXPECT_NE(refused.err.find("--tcp-established"), std::string::npos) << refused.err;
	expect_nothing_lost(server, clients);
}

TEST(Echo, hundred_clients_lose_nothing_during_50_dumps)
{
	Scenario server, clients;
	SCENARIO_START(server, "echo/echo_server");
	SCENARIO_START(clients, "echo/echo_clients", {server.fact("port"), std::to_string(kClients)});
	std::vector<uint64_t> frozen_us;
	for (int i = 0; i < 50; i++) {
		SCOPED_TRACE("dump " + std::to_string(i));
		DumpResult dumped = server.dump(kDumpArgs);
		if (dumped.exit != 0 || !server.check_target())
			break;
		if (dumped.stats.is_object())
			frozen_us.push_back(number(dumped.stats["frozen_us"]));
	}
	std::ranges::sort(frozen_us);
	if (!frozen_us.empty())
		std::cout << "frozen, median of " << frozen_us.size() << ": " << frozen_us[frozen_us.size() / 2]
			  << " us\n";
	expect_nothing_lost(server, clients);
}

} // namespace bpfckpt::selftests
