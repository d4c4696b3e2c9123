// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pipes (fs/pipe.c) and pairs of unix sockets (net/unix/af_unix.c) with what is queued in them.
#include "user/restore/file.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "user/restore/inode.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

// A write in packet mode (O_DIRECT) is a packet of its own; the others may run together.
Result<> write_packets(int fd, const images::Pipe &pipe)
{
	std::span<const std::byte> data = as_bytes(pipe.data());
	int flags = fcntl(fd, F_GETFL);
	for (int i = 0; i < pipe.packets_size(); i++) {
		uint32_t length = pipe.packets(i);
		bool packet = i < pipe.packet_size() && pipe.packet(i);
		if (length > data.size())
			return Error(Code::kCorrupt, "packets are longer than the data");
		if (fcntl(fd, F_SETFL, packet ? flags | O_DIRECT : flags & ~O_DIRECT))
			return errno_error(errno, "cannot set packet mode");
		TRY(write_all(fd, data.first(length)));
		data = data.subspan(length);
	}
	return {};
}

static constexpr uint32_t kLargeFile = 0100000; // O_LARGEFILE, which <fcntl.h> has as 0

static Result<UniqueFd> take_end(int end, const images::File &file)
{
	UniqueFd fd(fcntl(end, F_DUPFD_CLOEXEC, 0));
	if (!fd.valid() || fcntl(fd.get(), F_SETFL, static_cast<int>(file.flags()) & ~O_ASYNC))
		return errno_error(errno, "cannot set flags").on(name_of(file));
	return fd;
}

Result<OpenedFiles> open_pipe(std::span<const images::File *const> files)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return errno_error(errno, "cannot create").on(name_of(*files[0]));
	UniqueFd reader(ends[0]);
	UniqueFd writer(ends[1]);
	if (files[0]->pipe().size() && fcntl(writer.get(), F_SETPIPE_SZ, files[0]->pipe().size()) < 0)
		return errno_error(errno, "cannot set the size to {}", files[0]->pipe().size()).on(name_of(*files[0]));
	for (const images::File *file : files)
		if (!file->pipe().data().empty())
			TRY(write_packets(writer.get(), file->pipe()));
	TRY(set_owner_and_mode(writer.get(), *files[0]));
	OpenedFiles opened;
	bool taken[2] = {};
	for (const images::File *file : files) {
		bool reads = (file->flags() & O_ACCMODE) == O_RDONLY;
		int end = reads ? reader.get() : writer.get();
		// open(2) sets O_LARGEFILE, pipe(2) does not: who has it not is the end that pipe(2) made.
		bool made = !(file->flags() & kLargeFile) && !taken[reads];
		taken[reads] |= made;
		opened.emplace_back(file->id(), made ? TRY(take_end(end, *file)) : TRY(reopen(end, *file)));
	}
	return opened;
}

static int type_of(const std::string &type)
{
	if (type == "SOCK_STREAM")
		return SOCK_STREAM;
	return type == "SOCK_DGRAM" ? SOCK_DGRAM : SOCK_SEQPACKET;
}

static Result<> set_option(int fd, int option, const void *value, socklen_t size, const images::File &file)
{
	if (setsockopt(fd, SOL_SOCKET, option, value, size))
		return errno_error(errno, "cannot set socket option {}", option).on(name_of(file));
	return {};
}

static timeval timeval_of(int64_t ns)
{
	return {.tv_sec = ns / 1'000'000'000, .tv_usec = ns % 1'000'000'000 / 1000};
}

static Result<> set_flags(int fd, const images::File &file)
{
	const images::SocketOptions &image = file.socket().options();
	const std::pair<int, bool> flags[] = {
		{SO_PASSSEC, image.pass_security()}, {SO_REUSEADDR, image.reuse_address()},
		{SO_REUSEPORT, image.reuse_port()},  {SO_KEEPALIVE, image.keep_alive()},
		{SO_BROADCAST, image.broadcast()},
	};
	int on = 1;
	for (auto [option, wanted] : flags)
		if (wanted)
			TRY(set_option(fd, option, &on, sizeof(on), file));
	return {};
}

Result<> set_socket_options(int fd, const images::File &file)
{
	const images::SocketOptions &image = file.socket().options();
	auto set = [&](int option, int value) { return set_option(fd, option, &value, sizeof(value), file); };
	// The kernel doubles what it is given (net/core/sock.c: __sock_set_rcvbuf).
	if (image.locks() & 1)
		TRY(set(SO_SNDBUFFORCE, image.send_buffer() / 2));
	if (image.locks() & 2)
		TRY(set(SO_RCVBUFFORCE, image.receive_buffer() / 2));
	TRY(set_flags(fd, file));
	if (image.priority())
		TRY(set(SO_PRIORITY, image.priority()));
	if (image.mark())
		TRY(set(SO_MARK, static_cast<int>(image.mark())));
	if (image.bound_device())
		TRY(set(SO_BINDTOIFINDEX, static_cast<int>(image.bound_device())));
	if (image.receive_low_water() > 1)
		TRY(set(SO_RCVLOWAT, image.receive_low_water()));
	linger linger = {.l_onoff = 1, .l_linger = static_cast<int>(image.linger())};
	if (image.linger_on())
		TRY(set_option(fd, SO_LINGER, &linger, sizeof(linger), file));
	if (file.socket().peek_offset() >= 0) // -1: off
		TRY(set(SO_PEEK_OFF, file.socket().peek_offset()));
	timeval receive = timeval_of(image.receive_timeout_ns());
	timeval send = timeval_of(image.send_timeout_ns());
	if (image.receive_timeout_ns() > 0)
		TRY(set_option(fd, SO_RCVTIMEO, &receive, sizeof(receive), file));
	if (image.send_timeout_ns() > 0)
		TRY(set_option(fd, SO_SNDTIMEO, &send, sizeof(send), file));
	int flags = static_cast<int>(file.flags()) & (O_NONBLOCK | O_APPEND);
	if (fcntl(fd, F_SETFL, flags))
		return errno_error(errno, "cannot set flags").on(name_of(file));
	return {};
}

namespace {

// Until it is put back: room for what was queued when the program's buffer was larger, or by a peer that is gone. It
// takes CAP_NET_ADMIN; without, there is as much room as the socket has.
class LargeSendBuffer {
public:
	explicit LargeSendBuffer(int fd) : fd_(fd)
	{
		constexpr int kLargest = INT_MAX / 2; // net/core/sock.c: sk_setsockopt()
		size_ = get(SO_SNDBUF);
		locks_ = get(SO_BUF_LOCK);
		grown_ = !setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kLargest, sizeof(kLargest));
	}
	Result<> put_back(const images::File &file) const
	{
		if (!grown_)
			return {};
		int half = size_ / 2; // which the kernel doubles
		TRY(set_option(fd_, SO_SNDBUFFORCE, &half, sizeof(half), file));
		return set_option(fd_, SO_BUF_LOCK, &locks_, sizeof(locks_), file);
	}

private:
	[[nodiscard]] int get(int option) const
	{
		int value = 0;
		socklen_t size = sizeof(value);
		getsockopt(fd_, SOL_SOCKET, option, &value, &size);
		return value;
	}

	int fd_;
	int size_ = 0;
	int locks_ = 0;
	bool grown_ = false;
};

} // namespace

// What the peer has not received yet is sent again.
static Result<> send_queue(int from, const images::File &to)
{
	if (to.socket().messages().empty())
		return {};
	LargeSendBuffer room(from);
	for (const images::SocketMessage &message : to.socket().messages()) {
		const std::string &data = message.data();
		ssize_t sent = ::send(from, data.data(), data.size(), MSG_DONTWAIT);
		if (sent < 0)
			return errno_error(errno, "cannot queue {} bytes again", data.size()).on(name_of(to));
		if (static_cast<size_t>(sent) < data.size())
			return make_error(Code::kLimit, "only {} of {} bytes can be queued again", sent, data.size())
				.on(name_of(to));
	}
	return room.put_back(to);
}

// After what is unread has been sent again: it would get our credentials.
static Result<> pass_credentials(int fd, const images::File &file)
{
	int on = 1;
	if (!file.socket().options().pass_credentials())
		return {};
	return set_option(fd, SO_PASSCRED, &on, sizeof(on), file);
}

static Result<> shut_down(int fd, const images::File &file)
{
	uint32_t mask = file.socket().shutdown(); // RCV_SHUTDOWN 1, SEND_SHUTDOWN 2
	if (mask && ::shutdown(fd, static_cast<int>(mask) - 1))
		return errno_error(errno, "cannot shut down").on(name_of(file));
	return {};
}

static std::vector<uint32_t> own_groups()
{
	std::vector<uint32_t> groups(static_cast<size_t>(std::max(0, getgroups(0, nullptr))));
	groups.resize(static_cast<size_t>(std::max(0, getgroups(static_cast<int>(groups.size()), groups.data()))));
	return groups;
}

static void add_effective_ids(SyscallBatch &batch, uid_t uid, gid_t gid, const std::vector<uint32_t> &groups)
{
	batch.add(SYS_setgroups, groups.size(), batch.data(std::as_bytes(std::span(groups))));
	batch.add(SYS_setresgid, -1, gid, -1);
	batch.add(SYS_setresuid, -1, uid, -1); // last: it may take the privilege, which its undoing gives back
}

namespace {

// What is called in a batch between the two is called by the one whom SO_PEERCRED names.
class PeerIds {
public:
	PeerIds(SyscallBatch &batch, const images::PeerCredentials &peer)
		: groups_(peer.groups().begin(), peer.groups().end()),
		  own_(own_groups()),
		  is_own_(peer.uid() == geteuid() && peer.gid() == getegid() && groups_ == own_)
	{
		if (!is_own_)
			add_effective_ids(batch, peer.uid(), peer.gid(), groups_);
	}
	void give_back(SyscallBatch &batch) const
	{
		if (is_own_)
			return;
		batch.add(SYS_setresuid, -1, geteuid(), -1);
		add_effective_ids(batch, geteuid(), getegid(), own_);
	}

private:
	std::vector<uint32_t> groups_, own_;
	bool is_own_;
};

} // namespace

// listen(2) makes its caller the peer of all who connect (net/unix/af_unix.c: unix_listen()).
Result<> listen_as(const images::Socket &socket, int fd, Member &creator)
{
	SyscallBatch batch;
	OpenFiles::add_tool(batch, 0);
	batch.add(SYS_pidfd_getfd, 0, fd, 0);
	PeerIds ids(batch, socket.peer_credentials());
	batch.add(SYS_listen, 1, socket.backlog());
	ids.give_back(batch);
	batch.add(SYS_close, 1);
	batch.add(SYS_close, 0);
	return batch.run(creator.leader);
}

using SocketEnds = std::pair<UniqueFd, UniqueFd>;

static Result<SocketEnds> take_ends(Member &creator, const int (&numbers)[2])
{
	UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, creator.pid(), 0)));
	SocketEnds ends(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), numbers[0], 0)),
			static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), numbers[1], 0)));
	if (!ends.first.valid() || !ends.second.valid())
		return errno_error(errno, "cannot take a unix socket over from pid {}", creator.pid());
	SyscallBatch batch;
	batch.add(SYS_close, numbers[0]);
	batch.add(SYS_close, numbers[1]);
	TRY(batch.run(creator.leader));
	return ends;
}

// socketpair(2) makes its caller the peer of both ends, for all time and with the credentials that it has just then
// (net/unix/af_unix.c: prepare_peercred()).
static Result<SocketEnds> make_pair(const images::Socket &socket, Member *creator)
{
	int type = type_of(socket.type()) | SOCK_CLOEXEC;
	int numbers[2] = {-1, -1};
	if (!creator) {
		if (socketpair(AF_UNIX, type, 0, numbers))
			return errno_error(errno, "cannot create");
		return SocketEnds(numbers[0], numbers[1]);
	}
	SyscallBatch batch;
	PeerIds ids(batch, socket.peer_credentials());
	target::Blob made = batch.buffer(sizeof(numbers));
	batch.add(SYS_socketpair, AF_UNIX, type, 0, made);
	ids.give_back(batch);
	TRY(batch.run(creator->leader));
	memcpy(numbers, batch.output(made).data(), sizeof(numbers));
	return take_ends(*creator, numbers);
}

Result<OpenedFiles> open_socket_pair(const images::File &one, const images::File &other, Member *creator)
{
	auto [first, second] = TRY(make_pair(one.socket(), creator));
	TRY(set_socket_options(first.get(), one));
	TRY(set_socket_options(second.get(), other));
	TRY(send_queue(second.get(), one));
	TRY(send_queue(first.get(), other));
	TRY(pass_credentials(first.get(), one));
	TRY(pass_credentials(second.get(), other));
	TRY(shut_down(first.get(), one));
	TRY(shut_down(second.get(), other));
	TRY(set_owner_and_mode(first.get(), one));
	TRY(set_owner_and_mode(second.get(), other));
	OpenedFiles opened;
	opened.emplace_back(one.id(), std::move(first));
	opened.emplace_back(other.id(), std::move(second));
	return opened;
}

// Connected sockets whose peer is gone, or was outside, get one that closes as soon as it has sent what is unread.
Result<OpenedFiles> open_lone_socket(const images::File &file, Member *creator)
{
	const images::Socket &image = file.socket();
	bool connected = image.state() == "ESTABLISHED";
	SocketEnds ends;
	if (connected)
		ends = TRY(make_pair(image, creator));
	else
		ends.first.reset(socket(AF_UNIX, type_of(image.type()) | SOCK_CLOEXEC, 0));
	auto &[own, peer] = ends;
	if (!own.valid())
		return errno_error(errno, "cannot create").on(name_of(file));
	TRY(set_socket_options(own.get(), file));
	if (connected) {
		TRY(send_queue(peer.get(), file));
		peer.reset();
		if (image.shutdown() && image.shutdown() != 3) // of a stream, the peer's end has shut both
			TRY(shut_down(own.get(), file));
	}
	TRY(pass_credentials(own.get(), file));
	TRY(set_owner_and_mode(own.get(), file));
	OpenedFiles opened;
	opened.emplace_back(file.id(), std::move(own));
	return opened;
}

} // namespace bpfckpt::restore
