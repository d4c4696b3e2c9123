// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/socket_options.h"

#include <algorithm>
#include <array>
#include <climits>
#include <map>
#include <optional>
#include <tuple>

#include <linux/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/collect/borrower.h"

namespace bpfckpt::collect {

namespace {

struct Option {
	const char *name;
	int number;
	int level = SOL_SOCKET;
	socklen_t size = sizeof(int);
};

// Newer than the headers of Debian 12 (include/uapi/asm-generic/socket.h).
constexpr int kPassPidfd = 76;
constexpr int kReceivePriority = 82;
constexpr int kPassRights = 83;
constexpr int kReceiveMark = 75;
constexpr int kNetnsCookie = 71;
constexpr int kBufLock = 72;
constexpr int kIpProtocol = 52; // IP_PROTOCOL: of a TCP socket, its port
constexpr int kTcpAoRepair = 42;
constexpr const char *kOtherNamespace = "SO_NETNS_COOKIE of another network namespace";
constexpr size_t kMostBytes = 64;
constexpr uint16_t kSynSent = 2, kClose = 7, kListen = 10; // TCP_SYN_SENT, TCP_CLOSE, TCP_LISTEN
constexpr int kIpv6Mtu = 24, kIpv6PathMtu = 61;            // IPV6_MTU, IPV6_PATHMTU

// Those that restore sets, or that are told otherwise, are left out. Of a filter the length is asked.
constexpr Option kOptions[] = {
	{"SO_DEBUG", SO_DEBUG},
	{"SO_DONTROUTE", SO_DONTROUTE},
	{"SO_OOBINLINE", SO_OOBINLINE},
	{"SO_NO_CHECK", SO_NO_CHECK},
	{"SO_TIMESTAMP", SO_TIMESTAMP_OLD},
	{"SO_TIMESTAMPNS", SO_TIMESTAMPNS_OLD},
	{"SO_TIMESTAMP", SO_TIMESTAMP_NEW},
	{"SO_TIMESTAMPNS", SO_TIMESTAMPNS_NEW},
	{"SO_TIMESTAMPING", SO_TIMESTAMPING_OLD, SOL_SOCKET, 8},
	{"SO_ATTACH_FILTER", SO_GET_FILTER, SOL_SOCKET, 0},
	{"SO_LOCK_FILTER", SO_LOCK_FILTER},
	{"SO_RXQ_OVFL", SO_RXQ_OVFL},
	{"SO_WIFI_STATUS", SO_WIFI_STATUS},
	{"SO_NOFCS", SO_NOFCS},
	{"SO_SELECT_ERR_QUEUE", SO_SELECT_ERR_QUEUE},
	{"SO_BUSY_POLL", SO_BUSY_POLL},
	{"SO_PREFER_BUSY_POLL", SO_PREFER_BUSY_POLL},
	{"SO_MAX_PACING_RATE", SO_MAX_PACING_RATE, SOL_SOCKET, 8},
	{"SO_ZEROCOPY", SO_ZEROCOPY},
	{"SO_TXTIME", SO_TXTIME, SOL_SOCKET, 8},
	{"SO_RESERVE_MEM", SO_RESERVE_MEM},
	{"SO_TXREHASH", SO_TXREHASH},
	{"SO_RCVMARK", kReceiveMark},
	{"SO_RCVPRIORITY", kReceivePriority},
	{"SO_PASSPIDFD", kPassPidfd},
	{"SO_PASSRIGHTS", kPassRights},
	{kOtherNamespace, kNetnsCookie, SOL_SOCKET, 8},
};

// What TCP sockets are asked for: all there is, but for what restore sets, what is told otherwise, and what is not a
// setting or changes by being read. Names are for people.
constexpr int kMostOption = 127;
constexpr Option kNamed[] = {
	{"IP_TOS", IP_TOS, IPPROTO_IP},
	{"IP_TTL", IP_TTL, IPPROTO_IP},
	{"IP_FREEBIND", IP_FREEBIND, IPPROTO_IP},
	{"IP_TRANSPARENT", IP_TRANSPARENT, IPPROTO_IP},
	{"TCP_MAXSEG", TCP_MAXSEG, IPPROTO_TCP},
	{"TCP_SYNCNT", TCP_SYNCNT, IPPROTO_TCP},
	{"TCP_DEFER_ACCEPT", TCP_DEFER_ACCEPT, IPPROTO_TCP},
	{"TCP_CONGESTION", TCP_CONGESTION, IPPROTO_TCP},
	{"TCP_USER_TIMEOUT", TCP_USER_TIMEOUT, IPPROTO_TCP},
	{"TCP_FASTOPEN", TCP_FASTOPEN, IPPROTO_TCP},
	{kOtherNamespace, kNetnsCookie},
};

bool is_told_otherwise(int level, int option)
{
	constexpr int kSocket[] = {
		SO_ERROR,        SO_REUSEADDR,    SO_BROADCAST,     SO_SNDBUF,           SO_RCVBUF,
		SO_KEEPALIVE,    SO_PRIORITY,     SO_LINGER,        SO_REUSEPORT,        SO_PASSCRED,
		SO_PEERCRED,     SO_RCVLOWAT,     SO_RCVTIMEO_OLD,  SO_RCVTIMEO_NEW,     SO_SNDTIMEO_OLD,
		SO_SNDTIMEO_NEW, SO_BINDTODEVICE, SO_BINDTOIFINDEX, SO_ACCEPTCONN,       SO_PASSSEC,
		SO_MARK,         SO_PEEK_OFF,     SO_MEMINFO,       SO_INCOMING_NAPI_ID, SO_COOKIE,
		kBufLock,
	};
	constexpr int kTcp[] = {TCP_NODELAY,   TCP_KEEPIDLE,         TCP_KEEPINTVL, TCP_KEEPCNT, TCP_INFO,
				TCP_TIMESTAMP, TCP_ZEROCOPY_RECEIVE, kTcpAoRepair,  TCP_QUICKACK};
	if (level == SOL_SOCKET)
		return std::ranges::find(kSocket, option) != std::end(kSocket);
	if (level == IPPROTO_TCP)
		return std::ranges::find(kTcp, option) != std::end(kTcp);
	if (level == IPPROTO_IP)
		return option == kIpProtocol;
	return level == IPPROTO_IPV6 && option == IPV6_V6ONLY;
}

// What connect(2) changes by itself. What was set before is found otherwise (is_clamped()).
bool is_of_connection(const Option &option)
{
	switch (option.level) {
	case SOL_SOCKET:
		return option.number == SO_PEERNAME;
	case IPPROTO_IP:
		return option.number == IP_MTU;
	case IPPROTO_IPV6:
		return option.number == kIpv6Mtu || option.number == kIpv6PathMtu;
	default:
		return option.number == TCP_MAXSEG || option.number == TCP_WINDOW_CLAMP;
	}
}

int integer_of(int socket, int level, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);
	return ::getsockopt(socket, level, option, &value, &size) ? 0 : value;
}

// Has TCP_MAXSEG or TCP_WINDOW_CLAMP been set before it was connected? It offers less than its route lets it
// (net/ipv4/route.c: ipv4_default_advmss()), and another window than all that a scale of windows can tell
// (net/ipv4/tcp_output.c: tcp_select_initial_window()).
bool is_clamped(int socket, bool ipv6)
{
	constexpr int kHeader = 40, kIpv6Header = 60, kWindow = 0xffff;
	tcp_info info = {};
	socklen_t size = sizeof(info);
	int mtu = ipv6 ? integer_of(socket, IPPROTO_IPV6, kIpv6Mtu) : integer_of(socket, IPPROTO_IP, IP_MTU);
	int window = integer_of(socket, IPPROTO_TCP, TCP_WINDOW_CLAMP);
	while (window > kWindow && !(window & 1))
		window >>= 1;
	int64_t least = int64_t{mtu} - (ipv6 ? kIpv6Header : kHeader);
	return ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) || !mtu || info.tcpi_advmss < least ||
	       window != kWindow;
}

// Error, length and bytes: a kernel without the option gives the same for every socket.
using Value = std::tuple<int, socklen_t, std::array<unsigned char, kMostBytes>>;

Value value_of(int socket, const Option &option)
{
	std::array<unsigned char, kMostBytes> bytes = {};
	socklen_t size = option.size;
	int error = ::getsockopt(socket, option.level, option.number, bytes.data(), &size) ? errno : 0;
	return {error, size, bytes};
}

std::string name_of(const Option &option)
{
	if (*option.name)
		return option.name;
	for (const Option &named : kNamed)
		if (named.level == option.level && named.number == option.number)
			return named.name;
	return fmt::format("option {} of level {}", option.number, option.level);
}

const std::vector<Option> &options_of(bool tcp)
{
	static const std::vector<Option> kOfUnix(std::begin(kOptions), std::end(kOptions));
	static const std::vector<Option> kOfTcp = [] {
		std::vector<Option> options;
		for (int level : {SOL_SOCKET, int{IPPROTO_IP}, int{IPPROTO_IPV6}, int{IPPROTO_TCP}})
			for (int number = 1; number <= kMostOption; number++)
				if (!is_told_otherwise(level, number))
					options.push_back({"", number, level, kMostBytes});
		return options;
	}();
	return tcp ? kOfTcp : kOfUnix;
}

// One that listens, that has never been connected, or is on its way to that.
bool is_lone_tcp(const socket_record &record)
{
	return (record.family == AF_INET || record.family == AF_INET6) && record.type == SOCK_STREAM &&
	       record.protocol == IPPROTO_TCP &&
	       (record.state == kListen || record.state == kClose || record.state == kSynSent);
}

// The file that a unix socket is bound to, while it has the name that the socket's own path tells.
std::optional<images::SocketName> name_of(int socket)
{
	UniqueFd file(::ioctl(socket, SIOCUNIXFILE));
	if (!file.valid())
		return {};
	char text[PATH_MAX];
	ssize_t length = ::readlink(fmt::format("/proc/self/fd/{}", file.get()).c_str(), text, sizeof(text));
	struct stat own, named;
	if (length <= 0 || length == sizeof(text) || ::fstat(file.get(), &own))
		return {};
	images::SocketName name;
	name.set_path(text, static_cast<size_t>(length));
	if (::lstat(name.path().c_str(), &named) || named.st_dev != own.st_dev || named.st_ino != own.st_ino)
		return {};
	name.set_mode(own.st_mode & 07777);
	name.set_uid(own.st_uid);
	name.set_gid(own.st_gid);
	return name;
}

} // namespace

// Of a new socket: once for each kind, the first time before the freeze.
class SocketOptions::Defaults {
public:
	// nullptr: there are no such sockets to be had.
	const std::vector<Value> *of(const socket_record &record)
	{
		auto [it, fresh] = values_.try_emplace({record.family, record.type});
		if (fresh)
			it->second = read(record);
		return it->second.empty() ? nullptr : &it->second;
	}

private:
	static std::vector<Value> read(const socket_record &record)
	{
		std::vector<Value> values;
		UniqueFd socket(::socket(record.family, record.type | SOCK_CLOEXEC, 0));
		if (socket.valid())
			for (const Option &option : options_of(is_lone_tcp(record)))
				values.push_back(value_of(socket.get(), option));
		return values;
	}

	std::map<std::pair<int, int>, std::vector<Value>> values_; // by family and type
};

SocketOptions::SocketOptions() : defaults_(std::make_unique<Defaults>()) {}
SocketOptions::SocketOptions(SocketOptions &&) noexcept = default;
SocketOptions &SocketOptions::operator=(SocketOptions &&) noexcept = default;
SocketOptions::~SocketOptions() = default;

void SocketOptions::look_at(const socket_record &record, const UniqueFd &socket)
{
	bool tcp = is_lone_tcp(record), connecting = tcp && record.state == kSynSent;
	const char *what = !tcp ? "a unix socket" : record.state == kListen ? "a TCP listener" : "a TCP socket";
	const std::vector<Value> *defaults = defaults_->of(record);
	if (!socket.valid() || !defaults) {
		found_.push_back({record.file, what, {}});
		return;
	}
	// Read from outside: getsockopt(2) would take it.
	if (record.options & SOCKET_ERROR_PENDING)
		found_.push_back({record.file, what, "an unread error (SO_ERROR)"});
	const std::vector<Option> &options = options_of(tcp);
	for (size_t i = 0; i < options.size(); i++)
		if (!(connecting && is_of_connection(options[i])) &&
		    value_of(socket.get(), options[i]) != (*defaults)[i])
			found_.push_back({record.file, what, name_of(options[i])});
	if (connecting && is_clamped(socket.get(), record.family == AF_INET6))
		found_.push_back({record.file, what, "TCP_MAXSEG or TCP_WINDOW_CLAMP"});
	if (!tcp && record.state == kListen)
		if (auto name = name_of(socket.get()))
			names_.push_back({record.file, std::move(*name)});
}

void SocketOptions::capture(const iterators::FileReader &reader)
{
	found_.clear();
	names_.clear();
	std::optional<Borrower> borrower;
	for (const socket_record &record : reader.sockets()) {
		if (record.family != AF_UNIX && !is_lone_tcp(record))
			continue;
		if (!borrower)
			borrower.emplace(reader.fds());
		look_at(record, borrower->borrow(record.file));
	}
}

void SocketOptions::add_to(Context &ctx) const
{
	for (const Name &name : names_)
		for (images::File &file : *ctx.document->mutable_files())
			if (file.id() == ctx.ids.files.find(name.file))
				*file.mutable_socket()->mutable_name() = name.name;
	for (const Finding &found : found_)
		ctx.refuse(fmt::format("file {}", ctx.ids.files.find(found.file)),
			   found.option.empty() ? fmt::format("options of {} could not be read", found.what)
						: fmt::format("{} has {} set", found.what, found.option),
			   found.option.empty() ? "keep a descriptor of the socket open in the tree"
						: "sockets are restored without it: leave it at its default");
}

} // namespace bpfckpt::collect
