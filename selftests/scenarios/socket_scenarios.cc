// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sockets: addresses, states, queues and options, and what is refused by name.
#include "selftests/scenarios/file_json.h"

namespace bpfckpt::selftests {

static Json socket_at(Scenario &s, const Json &document, const char *fact)
{
	return file_at(document, std::stoi(s.fact(fact)))["socket"];
}

static std::vector<uint64_t> lengths(const Json &socket)
{
	std::vector<uint64_t> result;
	for (const Json &message : socket["messages"])
		result.push_back(number_at(message, "length"));
	return result;
}

TEST(Socket, pairs_keep_message_boundaries)
{
	run_with_facts("socket_pair", [](const Json &document, const Facts &fact) {
		auto socket = [&](const char *key) { return file_at(document, fact(key))["socket"]; };
		Json stream = socket("stream1");
		EXPECT_EQ(stream["family"], "AF_UNIX");
		EXPECT_EQ(stream["type"], "SOCK_STREAM");
		EXPECT_EQ(lengths(stream), (std::vector<uint64_t>{6, 5}));
		EXPECT_EQ(number_at(stream, "receive_queue"), 11u);
		EXPECT_EQ(stream["peer_file"], file_at(document, fact("stream0"))["id"]);
		EXPECT_EQ(lengths(socket("datagrams")), (std::vector<uint64_t>{3, 0, 5}));
		EXPECT_EQ(lengths(socket("packets")), (std::vector<uint64_t>{8, 8}));
		EXPECT_EQ(number_at(socket("shut"), "shutdown"), 2u);
		EXPECT_EQ(socket("orphan").value("peer_inside", false), false);
		EXPECT_EQ(number_at(socket("stream0")["options"], "receive_timeout_ns"), 7'000'000'000u);
	});
}

TEST(Socket, options_of_pairs)
{
	run_scenario("socket_options");
}

TEST(Socket, queues_are_larger_than_the_buffers_by_now)
{
	run_scenario("socket_queued");
}

TEST(Socket, options_that_do_not_come_back_are_refused)
{
	run_refusal("socket_options", "SO_TIMESTAMP", {}, {"timestamp"});
	run_refusal("socket_options", "SO_ATTACH_FILTER", {}, {"filter"});
	run_refusal("socket_options", "SO_ERROR", {}, {"error"});
}

TEST(Socket, peer_credentials_and_owners)
{
	run_scenario("socket_credentials", {.args = {"alive"}});
}

TEST(Socket, a_pair_of_a_process_that_is_gone_is_refused)
{
	run_refusal("socket_credentials", "SO_PEERCRED of a unix socket names pid", {}, {"gone"});
}

TEST(Socket, descriptors_in_flight_are_refused)
{
	run_refusal("socket_rights", "SCM_RIGHTS");
}

TEST(Socket, inet_states_addresses_and_queues)
{
	Scenario s;
	SCENARIO_START(s, "socket_inet");
	std::string server = "127.0.0.1:" + s.fact("port");
	for (bool dumped : {false, true}) {
		Json document = dumped ? (s.dump({"-R", "--tcp-established", "--forensic"}), s.show()) : s.inspect();
		Json listener = socket_at(s, document, "listener");
		EXPECT_EQ(listener["state"], "LISTEN");
		EXPECT_EQ(listener["local"], server);
		EXPECT_EQ(number_at(listener, "backlog"), 17u);
		Json client = socket_at(s, document, "client");
		EXPECT_EQ(client["state"], "ESTABLISHED");
		EXPECT_EQ(client["remote"], server);
		EXPECT_EQ(number_at(client, "receive_queue"), 2u);
		EXPECT_EQ(client["options"].value("no_delay", false), true);
		EXPECT_EQ(client["options"].value("keep_alive", false), true);
		EXPECT_EQ(number_at(client["options"], "keep_idle"), 77u);
		EXPECT_EQ(number_at(socket_at(s, document, "server"), "receive_queue"), 9u);
		EXPECT_EQ(socket_at(s, document, "half")["state"], "FIN_WAIT2");
		EXPECT_EQ(socket_at(s, document, "udp")["type"], "SOCK_DGRAM");
	}
	EXPECT_TRUE(s.go());
}

TEST(Socket, connections_are_refused_with_the_way_out)
{
	run_refusal("socket_inet", "--tcp-established");
	run_refusal("socket_inet", "cannot be restored yet", {"--tcp-established"});
}

TEST(Socket, tcp_listeners)
{
	run_scenario("socket_inet", {.args = {"listen"}});
}

TEST(Socket, tcp_sockets_without_a_connection)
{
	run_scenario("socket_unconnected");
}

} // namespace bpfckpt::selftests
