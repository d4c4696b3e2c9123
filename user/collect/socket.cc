// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/socket.h"

#include <algorithm>
#include <climits>

#include <sys/socket.h>

#include "user/collect/socket_name.h"

namespace bpfckpt::collect {

constexpr unsigned kListen = 10;     // TCP_LISTEN
constexpr uint32_t kBoundLocks = 12; // SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK

SocketCollector::SocketCollector(const iterators::FileRecords &records, const IdTable &files)
	: files_(files), hz_(records.hz)
{
	for (const socket_record &record : records.sockets) {
		by_file_.emplace(record.file, &record);
		by_sk_.emplace(record.sk, &record);
	}
	for (const socket_message_record &message : records.messages)
		messages_[message.file].push_back(&message);
}

static int64_t ns_of(uint64_t jiffies, uint64_t hz)
{
	constexpr uint64_t kSecond = 1'000'000'000;
	hz = std::max<uint64_t>(hz, 1);
	if (jiffies >= LONG_MAX / 2)
		return 0; // MAX_SCHEDULE_TIMEOUT: none
	return jiffies > INT64_MAX / (kSecond / hz) ? INT64_MAX : static_cast<int64_t>(jiffies * (kSecond / hz));
}

static uint32_t seconds_of(uint64_t jiffies, uint64_t hz)
{
	return static_cast<uint32_t>(jiffies / std::max<uint64_t>(hz, 1));
}

static void collect_options(const socket_record &record, uint64_t hz, images::SocketOptions &options)
{
	auto has = [&](uint32_t option) { return (record.options & option) != 0; };
	options.set_receive_buffer(record.receive_buffer);
	options.set_send_buffer(record.send_buffer);
	options.set_reuse_address(has(SOCKET_REUSE_ADDRESS));
	options.set_reuse_port(has(SOCKET_REUSE_PORT));
	options.set_keep_alive(has(SOCKET_KEEP_ALIVE));
	options.set_broadcast(has(SOCKET_BROADCAST));
	options.set_pass_credentials(has(SOCKET_PASS_CREDENTIALS));
	options.set_pass_security(has(SOCKET_PASS_SECURITY));
	options.set_priority(static_cast<int32_t>(record.priority));
	options.set_mark(record.mark);
	options.set_receive_timeout_ns(ns_of(record.receive_timeo, hz));
	options.set_send_timeout_ns(ns_of(record.send_timeo, hz));
	options.set_linger_on(has(SOCKET_LINGER));
	if (options.linger_on())
		options.set_linger(seconds_of(record.linger, hz));
	options.set_bound_device(record.bound_device);
	options.set_no_delay(has(SOCKET_NO_DELAY));
	options.set_keep_idle(seconds_of(record.keep_idle, hz));
	options.set_keep_interval(seconds_of(record.keep_interval, hz));
	options.set_keep_count(record.keep_count);
	options.set_ipv6_only(has(SOCKET_IPV6_ONLY));
	options.set_locks(record.locks & 3); // the others say that it is bound
	options.set_receive_low_water(record.receive_low_water);
}

static void collect_peer_credentials(const socket_record &record, images::Socket &socket)
{
	if (!(record.options & SOCKET_PEER_KNOWN))
		return;
	images::PeerCredentials *peer = socket.mutable_peer_credentials();
	peer->set_pid(record.peer_pid);
	peer->set_uid(record.peer_uid);
	peer->set_gid(record.peer_gid);
	size_t count = std::min<size_t>(record.peer_group_count, std::size(record.peer_groups));
	peer->mutable_groups()->Add(record.peer_groups, record.peer_groups + count);
	peer->set_groups_truncated(count < record.peer_group_count);
}

void SocketCollector::collect(const file_record &file, images::Socket &socket) const
{
	auto found = by_file_.find(file.file);
	if (found == by_file_.end())
		return;
	const socket_record *record = found->second;
	socket.set_family(socket_family_name(record->family));
	socket.set_type(socket_type_name(record->type));
	socket.set_protocol(record->protocol);
	socket.set_state(socket_state_name(record->state));
	socket.set_local(local_address(*record));
	socket.set_remote(remote_address(*record));
	socket.set_inode(record->ino);
	socket.set_peer_inode(record->peer_ino);
	if (auto peer = by_sk_.find(record->peer_sk); record->peer_sk && peer != by_sk_.end()) {
		socket.set_remote(local_address(*peer->second));
		socket.set_peer_file(files_.find(peer->second->file));
	}
	socket.set_peer_inside(socket.peer_file() != 0);
	socket.set_receive_queue(record->receive_queue);
	socket.set_send_queue(record->send_queue);
	if (record->state == kListen) {
		socket.set_backlog(record->backlog);
		socket.set_accept_queue(record->accept_queue);
	}
	socket.set_shutdown(record->shutdown);
	socket.set_peek_offset(record->peek_offset);
	socket.set_urgent_data((record->options & SOCKET_OOB_PENDING) != 0);
	socket.set_network_namespace(record->network_namespace);
	if (record->family == AF_INET || record->family == AF_INET6)
		socket.set_bound(record->locks & kBoundLocks);
	collect_options(*record, hz_, *socket.mutable_options());
	collect_peer_credentials(*record, socket);
	auto messages = messages_.find(file.file);
	if (messages == messages_.end())
		return;
	for (const socket_message_record *message : messages->second) {
		images::SocketMessage *out = socket.add_messages();
		out->set_length(message->length);
		out->set_fds(message->fds);
		out->set_has_credentials(message->pid != 0);
	}
}

} // namespace bpfckpt::collect
