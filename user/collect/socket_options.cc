// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/socket_options.h"

#include <array>
#include <map>
#include <optional>
#include <tuple>

#include <sys/socket.h>

#include "user/collect/borrower.h"

namespace bpfckpt::collect {

namespace {

struct Option {
	int number;
	const char *name;
	socklen_t size = sizeof(int);
};

// Newer than the headers of Debian 12 (include/uapi/asm-generic/socket.h).
constexpr int kPassPidfd = 76;
constexpr int kReceivePriority = 82;
constexpr int kPassRights = 83;
constexpr int kReceiveMark = 75;

// Those that restore sets, or that are told otherwise, are left out. Of a filter the length is asked.
constexpr Option kOptions[] = {
	{SO_DEBUG, "SO_DEBUG"},
	{SO_DONTROUTE, "SO_DONTROUTE"},
	{SO_OOBINLINE, "SO_OOBINLINE"},
	{SO_NO_CHECK, "SO_NO_CHECK"},
	{SO_TIMESTAMP_OLD, "SO_TIMESTAMP"},
	{SO_TIMESTAMPNS_OLD, "SO_TIMESTAMPNS"},
	{SO_TIMESTAMP_NEW, "SO_TIMESTAMP"},
	{SO_TIMESTAMPNS_NEW, "SO_TIMESTAMPNS"},
	{SO_TIMESTAMPING_OLD, "SO_TIMESTAMPING", 8},
	{SO_GET_FILTER, "SO_ATTACH_FILTER", 0},
	{SO_LOCK_FILTER, "SO_LOCK_FILTER"},
	{SO_RXQ_OVFL, "SO_RXQ_OVFL"},
	{SO_WIFI_STATUS, "SO_WIFI_STATUS"},
	{SO_NOFCS, "SO_NOFCS"},
	{SO_SELECT_ERR_QUEUE, "SO_SELECT_ERR_QUEUE"},
	{SO_BUSY_POLL, "SO_BUSY_POLL"},
	{SO_PREFER_BUSY_POLL, "SO_PREFER_BUSY_POLL"},
	{SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE", 8},
	{SO_ZEROCOPY, "SO_ZEROCOPY"},
	{SO_TXTIME, "SO_TXTIME", 8},
	{SO_RESERVE_MEM, "SO_RESERVE_MEM"},
	{SO_TXREHASH, "SO_TXREHASH"},
	{kReceiveMark, "SO_RCVMARK"},
	{kReceivePriority, "SO_RCVPRIORITY"},
	{kPassPidfd, "SO_PASSPIDFD"},
	{kPassRights, "SO_PASSRIGHTS"},
};

// Error, length and bytes: a kernel without the option gives the same for every socket.
using Value = std::tuple<int, socklen_t, std::array<unsigned char, 8>>;

Value value_of(int socket, const Option &option)
{
	std::array<unsigned char, 8> bytes = {};
	socklen_t size = option.size;
	int error = ::getsockopt(socket, SOL_SOCKET, option.number, bytes.data(), &size) ? errno : 0;
	return {error, size, bytes};
}

} // namespace

SocketOptions SocketOptions::capture(const iterators::FileReader &reader)
{
	SocketOptions options;
	std::optional<Borrower> borrower;
	std::map<int, UniqueFd> fresh; // by type
	for (const socket_record &record : reader.sockets()) {
		if (record.family != AF_UNIX)
			continue;
		if (!borrower)
			borrower.emplace(reader.fds());
		auto type = static_cast<int>(record.type);
		UniqueFd &reference = fresh[type];
		if (!reference.valid())
			reference.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
		UniqueFd socket = borrower->borrow(record.file);
		if (!socket.valid() || !reference.valid()) {
			options.found_.push_back({record.file, nullptr});
			continue;
		}
		for (const Option &option : kOptions)
			if (value_of(socket.get(), option) != value_of(reference.get(), option))
				options.found_.push_back({record.file, option.name});
	}
	return options;
}

void SocketOptions::add_to(Context &ctx) const
{
	for (const Finding &found : found_)
		ctx.refuse(fmt::format("file {}", ctx.ids.files.find(found.file)),
			   found.option ? fmt::format("a unix socket has {} set", found.option)
					: "options of a unix socket could not be read",
			   found.option ? "socket pairs are restored without it: leave it at its default"
					: "keep a descriptor of the socket open in the tree");
}

} // namespace bpfckpt::collect
