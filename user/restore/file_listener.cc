// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// TCP sockets without a connection, and sockets that listen, and whom nobody waits for: TCP
// (net/ipv4/inet_connection_sock.c), and unix ones with a name (net/unix/af_unix.c). A name in a file system is a file
// that bind(2) makes: it is made anew, with its owner and mode.
#include <cerrno>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/restore/file.h"
#include "user/restore/inode.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

namespace {

// An address that bind(2) takes.
struct Address {
	sockaddr_storage bytes = {};
	socklen_t size = 0;
};

template <class T>
Address address_of(const T &name, socklen_t size)
{
	Address address = {.size = size};
	memcpy(&address.bytes, &name, sizeof(name));
	return address;
}

// "@abstract", "/run/path"
Address unix_address(const std::string &text)
{
	sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
	size_t length = std::min(text.size(), sizeof(name.sun_path));
	memcpy(name.sun_path, text.data(), length);
	if (text.starts_with('@'))
		name.sun_path[0] = '\0';
	else
		length = std::min(length + 1, sizeof(name.sun_path)); // with its NUL
	return address_of(name, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

// "127.0.0.1:80", "[::1]:80"; nothing: something else.
Address inet_address(const std::string &text)
{
	size_t colon = text.rfind(':');
	if (colon == std::string::npos || text.empty())
		return {};
	auto port = static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10));
	if (text.front() != '[') {
		sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
		if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &name.sin_addr) != 1)
			return {};
		return address_of(name, sizeof(name));
	}
	sockaddr_in6 name = {};
	name.sin6_family = AF_INET6;
	name.sin6_port = htons(port);
	if (inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &name.sin6_addr) != 1)
		return {};
	return address_of(name, sizeof(name));
}

// What a ring had open, too, goes on listening after its process has ended, until a worker of the kernel has taken the
// ring apart (io_uring/io_uring.c: io_ring_exit_work()).
template <class Done>
bool wait_for_rings(Done done)
{
	constexpr auto kLimit = std::chrono::seconds(5);
	auto deadline = std::chrono::steady_clock::now() + kLimit;
	while (!done()) {
		if (std::chrono::steady_clock::now() >= deadline)
			return false;
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	}
	return true;
}

bool is_bound_by_anybody(const std::string &path)
{
	std::ifstream sockets("/proc/net/unix");
	for (std::string line; std::getline(sockets, line);)
		if (line.ends_with(" " + path))
			return true;
	return false;
}

bool is_same_inode(const struct stat &one, const struct stat &other)
{
	return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// Whether `name`, looked up by a process with that root, lies in the directory that `path` is in.
bool leads_to(const std::string &root, const std::string &name, const std::string &path)
{
	auto directory_of = [](const std::string &file) { return file.substr(0, file.rfind('/') + 1); };
	UniqueFd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
	open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_IN_ROOT};
	UniqueFd there(
		static_cast<int>(syscall(SYS_openat2, top.get(), directory_of(name).c_str(), &how, sizeof(how))));
	struct stat one;
	struct stat other;
	return there.valid() && !fstat(there.get(), &one) && !stat(directory_of(path).c_str(), &other) &&
	       is_same_inode(one, other);
}

// bind(2) in a thread with that root. Gives its errno, 0 if it is done.
int bind_below(const std::string &root, int fd, const sockaddr *name, socklen_t size)
{
	int error = 0;
	std::thread([&] {
		if (unshare(CLONE_FS) || chroot(root.c_str()) || bind(fd, name, size))
			error = errno;
	}).join();
	return error;
}

class NamedSocket {
public:
	explicit NamedSocket(const images::File &file) : file_(file), image_(file.socket()) {}
	Result<UniqueFd> open(Member *creator);
	Result<UniqueFd> open_unconnected(bool connect);

private:
	Result<> make_socket();
	Result<> connect_again();
	Result<> find_root(const Member *creator);
	Result<> set(int level, int option, int value, const char *name);
	Result<> set_tcp_options();
	Result<> bind_to(const Address &address);
	Result<> remove_name();
	Result<> set_name_attributes();

	const images::File &file_;
	const images::Socket &image_;
	UniqueFd fd_;
	std::string root_ = "/"; // of the process that gave it its name
};

Result<> NamedSocket::set(int level, int option, int value, const char *name)
{
	if (setsockopt(fd_.get(), level, option, &value, sizeof(value)))
		return errno_error(errno, "cannot set {}", name).on(name_of(file_));
	return {};
}

Result<> NamedSocket::set_tcp_options()
{
	const images::SocketOptions &options = image_.options();
	if (image_.family() == "AF_INET6")
		TRY(set(IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only(), "IPV6_V6ONLY"));
	if (options.no_delay())
		TRY(set(IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
	if (options.keep_idle())
		TRY(set(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(options.keep_idle()), "TCP_KEEPIDLE"));
	if (options.keep_interval())
		TRY(set(IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(options.keep_interval()), "TCP_KEEPINTVL"));
	if (options.keep_count())
		TRY(set(IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(options.keep_count()), "TCP_KEEPCNT"));
	return {};
}

// With SO_REUSEADDR: connections of before the dump that are in TIME_WAIT do not stand in the way if they had it, too.
Result<> NamedSocket::bind_to(const Address &address)
{
	if (!address.size)
		return make_error(Code::kCorrupt, "has no address: {}", image_.local()).on(name_of(file_));
	TRY(set(SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"));
	int error = 0;
	wait_for_rings([&] {
		auto *name = reinterpret_cast<const sockaddr *>(&address.bytes);
		if (root_ != "/")
			error = bind_below(root_, fd_.get(), name, address.size);
		else
			error = bind(fd_.get(), name, address.size) ? errno : 0;
		return error != EADDRINUSE;
	});
	if (error)
		return errno_error(error, "cannot be bound to {}", image_.local())
			.on(name_of(file_))
			.with_hint(
				"end what listens there; connections in TIME_WAIT are in the way for a minute, without "
				"SO_REUSEADDR");
	return set(SOL_SOCKET, SO_REUSEADDR, image_.options().reuse_address(), "SO_REUSEADDR");
}

// The name that it tells is that which its process used, after a chroot(2) perhaps.
Result<> NamedSocket::find_root(const Member *creator)
{
	const std::string &path = image_.name().path();
	if (leads_to(root_, image_.local(), path))
		return {};
	if (creator && leads_to(creator->image->root(), image_.local(), path)) {
		root_ = creator->image->root();
		return {};
	}
	return make_error(Code::kMismatch, "cannot be bound to {}: that does not lead to {}", image_.local(), path)
		.on(name_of(file_))
		.with_hint("make the directory that the socket was in again");
}

// What was left there by the socket of before, or by a restore that failed: no socket is bound to it any more.
Result<> NamedSocket::remove_name()
{
	const std::string &path = image_.name().path();
	struct stat there;
	if (lstat(path.c_str(), &there))
		return {};
	if (!S_ISSOCK(there.st_mode) || !wait_for_rings([&] { return !is_bound_by_anybody(image_.local()); }))
		return make_error(Code::kMismatch, "cannot be bound to {}: another file has that name", path)
			.on(name_of(file_))
			.with_hint("end what listens there, or remove the file");
	if (unlink(path.c_str()))
		return errno_error(errno, "cannot remove {}", path).on(name_of(file_));
	return {};
}

Result<> NamedSocket::set_name_attributes()
{
	const images::SocketName &name = image_.name();
	UniqueFd inode = TRY(open_exactly(name.path(), O_PATH | O_NOFOLLOW));
	if (fchownat(inode.get(), "", name.uid(), name.gid(), AT_EMPTY_PATH) ||
	    chmod(fmt::format("/proc/self/fd/{}", inode.get()).c_str(), name.mode()))
		return errno_error(errno, "cannot give {} its owner and mode", name.path()).on(name_of(file_));
	return {};
}

Result<> NamedSocket::make_socket()
{
	bool local = image_.family() == "AF_UNIX";
	int family = local ? AF_UNIX : image_.family() == "AF_INET6" ? AF_INET6 : AF_INET;
	int type = image_.type() == "SOCK_SEQPACKET" ? SOCK_SEQPACKET : SOCK_STREAM;
	fd_.reset(socket(family, type | SOCK_CLOEXEC, 0));
	if (!fd_.valid())
		return errno_error(errno, "cannot create").on(name_of(file_));
	TRY(set_socket_options(fd_.get(), file_));
	return local ? Result<>() : set_tcp_options();
}

// It was on its way (TCP_SYN_SENT), and goes there again. A refusal that comes at once would be told to nobody
// (net/ipv4/af_inet.c: __inet_stream_connect()).
Result<> NamedSocket::connect_again()
{
	Address peer = inet_address(image_.remote());
	int flags = fcntl(fd_.get(), F_GETFL);
	if (!peer.size)
		return make_error(Code::kCorrupt, "has no peer: {}", image_.remote()).on(name_of(file_));
	if (fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK))
		return errno_error(errno, "cannot set flags").on(name_of(file_));
	if (connect(fd_.get(), reinterpret_cast<const sockaddr *>(&peer.bytes), peer.size) && errno != EINPROGRESS)
		return errno_error(errno, "cannot be connected to {} again", image_.remote()).on(name_of(file_));
	if (fcntl(fd_.get(), F_SETFL, flags))
		return errno_error(errno, "cannot set flags").on(name_of(file_));
	return {};
}

// A port that connect(2) has chosen is chosen again.
Result<UniqueFd> NamedSocket::open_unconnected(bool connect)
{
	TRY(make_socket());
	Address address = inet_address(image_.local());
	uint16_t port = reinterpret_cast<const sockaddr_in *>(&address.bytes)->sin_port; // in both families
	if (image_.bound() || (port && image_.state() == "CLOSE"))
		TRY(bind_to(address));
	else
		TRY(set(SOL_SOCKET, SO_REUSEADDR, image_.options().reuse_address(), "SO_REUSEADDR"));
	if (connect)
		TRY(connect_again());
	TRY(set_owner_and_mode(fd_.get(), file_));
	return std::move(fd_);
}

Result<UniqueFd> NamedSocket::open(Member *creator)
{
	bool local = image_.family() == "AF_UNIX";
	TRY(make_socket());
	Address address = local ? unix_address(image_.local()) : inet_address(image_.local());
	if (image_.has_name()) {
		TRY(find_root(creator));
		TRY(remove_name());
	}
	TRY(bind_to(address));
	if (image_.has_name())
		TRY(set_name_attributes());
	if (local && creator)
		TRY(listen_as(image_, fd_.get(), *creator));
	else if (listen(fd_.get(), static_cast<int>(image_.backlog())))
		return errno_error(errno, "cannot listen on {}", image_.local()).on(name_of(file_));
	if (local && image_.options().pass_credentials())
		TRY(set(SOL_SOCKET, SO_PASSCRED, 1, "SO_PASSCRED"));
	TRY(set_owner_and_mode(fd_.get(), file_));
	return std::move(fd_);
}

} // namespace

Result<OpenedFiles> open_listener(const images::File &file, Member *creator)
{
	OpenedFiles opened;
	opened.emplace_back(file.id(), TRY(NamedSocket(file).open(creator)));
	return opened;
}

Result<OpenedFiles> open_unconnected(const images::File &file, bool connect)
{
	OpenedFiles opened;
	opened.emplace_back(file.id(), TRY(NamedSocket(file).open_unconnected(connect)));
	return opened;
}

} // namespace bpfckpt::restore
