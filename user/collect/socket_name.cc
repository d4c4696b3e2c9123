// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/socket_name.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/socket.h>

namespace bpfckpt::collect {

std::string socket_family_name(unsigned family)
{
	switch (family) {
	case AF_UNIX:
		return "AF_UNIX";
	case AF_INET:
		return "AF_INET";
	case AF_INET6:
		return "AF_INET6";
	case AF_NETLINK:
		return "AF_NETLINK";
	case AF_PACKET:
		return "AF_PACKET";
	case AF_VSOCK:
		return "AF_VSOCK";
	case AF_ALG:
		return "AF_ALG";
	default:
		return fmt::format("{}", family);
	}
}

std::string socket_type_name(unsigned type)
{
	switch (type) {
	case SOCK_STREAM:
		return "SOCK_STREAM";
	case SOCK_DGRAM:
		return "SOCK_DGRAM";
	case SOCK_RAW:
		return "SOCK_RAW";
	case SOCK_SEQPACKET:
		return "SOCK_SEQPACKET";
	default:
		return fmt::format("{}", type);
	}
}

std::string socket_state_name(unsigned state)
{
	static constexpr const char *kNames[] = {
		"",      "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",    "TIME_WAIT",
		"CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV", "BOUND_INACTIVE"};
	return state && state < std::size(kNames) ? kNames[state] : fmt::format("{}", state);
}

static std::string inet_address(unsigned family, const uint8_t *address, unsigned port)
{
	char text[INET6_ADDRSTRLEN] = {};
	size_t length = family == AF_INET ? 4 : 16;
	if (!port && std::all_of(address, address + length, [](uint8_t byte) { return byte == 0; }))
		return {};
	::inet_ntop(static_cast<int>(family), address, text, sizeof(text));
	return family == AF_INET ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
}

// Abstract names may hold any byte, and messages hold UTF-8: what is not printable ASCII is shown as \xNN.
static std::string printable(std::string_view name)
{
	std::string result;
	for (char c : name)
		if (c >= 0x20 && c < 0x7f && c != '\\')
			result += c;
		else
			result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
	return result;
}

static std::string unix_address(const socket_record &record)
{
	std::string_view path(record.unix_address,
			      std::min<size_t>(record.unix_address_len, sizeof(record.unix_address)));
	if (path.empty())
		return {};
	if (path.front() == '\0')
		return "@" + printable(path.substr(1));
	return printable(path.substr(0, path.find('\0')));
}

std::string local_address(const socket_record &record)
{
	if (record.family == AF_UNIX)
		return unix_address(record);
	if (record.family != AF_INET && record.family != AF_INET6)
		return {};
	return inet_address(record.family, record.local_address, record.local_port);
}

std::string remote_address(const socket_record &record)
{
	if (record.family != AF_INET && record.family != AF_INET6)
		return {};
	return inet_address(record.family, record.remote_address, record.remote_port);
}

} // namespace bpfckpt::collect
