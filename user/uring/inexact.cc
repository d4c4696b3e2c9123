// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/inexact.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <linux/io_uring.h>
#include <sys/socket.h>

#include "user/uring/rearm.h"

namespace bpfckpt::uring {

namespace {

using images::Request;

constexpr InexactKind kKinds[] = {
	{"waitall",
	 "a send or receive with MSG_WAITALL that has moved a part is done, and tells how much, as if it had been "
	 "interrupted"},
	{"connect",
	 "a TCP connection that is being established begins anew: the peer sees another SYN, from another port unless "
	 "the socket was bound"},
	{"timeout", "the next expiry of a repeating timeout comes late, by up to one period; all others as before"},
	{"inotify", "unread events of inotify are lost, which the program is told in their place (IN_Q_OVERFLOW); its "
		    "watches go on"},
};

const InexactKind &kWaitall = kKinds[0];
const InexactKind &kConnect = kKinds[1];
const InexactKind &kTimeout = kKinds[2];
const InexactKind &kInotify = kKinds[3];

// Once it has moved a part the kernel waits for the rest, and adds it to what no submission can say (struct io_sr_msg:
// done_io). But it may end with less at any time, and does so when its socket fails: the part is what has been moved,
// and nothing else has happened.
bool can_be_cut_short(const images::Ring &ring, const Request &request)
{
	switch (request.opcode()) {
	case images::IORING_OP_SEND:
	case images::IORING_OP_SENDMSG:
	case images::IORING_OP_RECV:
	case images::IORING_OP_RECVMSG:
		return request.bytes_done() && request.bytes_done() <= INT32_MAX &&
		       completion_obstacle(ring, request).empty();
	default:
		return false;
	}
}

void cut_short(Request &request)
{
	request.set_class_(Request::COMPLETED);
	request.set_result(static_cast<int32_t>(request.bytes_done()));
	// Less than was asked for is a failure, which is always told (io_uring/io_uring.h: req_set_fail()).
	request.set_flags(request.flags() & ~static_cast<uint32_t>(IOSQE_CQE_SKIP_SUCCESS));
}

bool is_connecting(const images::File &file)
{
	return file.socket().state() == "SYN_SENT";
}

bool has_lost_events(const images::File &file)
{
	return file.inotify().pending_events() && !file.inotify().only_overflow();
}

} // namespace

std::span<const InexactKind> inexact_kinds()
{
	return kKinds;
}

const InexactKind *inexact_kind(std::string_view name)
{
	auto kind = std::ranges::find(kKinds, name, &InexactKind::name);
	return kind == std::end(kKinds) ? nullptr : kind;
}

const InexactKind *inexact_kind_of(const images::Ring &ring, const Request &request)
{
	if (request.class_() != Request::REARMABLE)
		return nullptr;
	if (can_be_cut_short(ring, request))
		return &kWaitall;
	if (request.opcode() == images::IORING_OP_CONNECT)
		return &kConnect;
	return is_repeating_timeout(request) ? &kTimeout : nullptr;
}

void accept(const InexactKind &kind, Request &request)
{
	request.set_accepted(std::string(kind.name));
	if (&kind == &kWaitall)
		cut_short(request);
}

void accept_inexact(std::span<const std::string> allowed, images::Document &document)
{
	auto allows = [&](const InexactKind &kind) { return std::ranges::find(allowed, kind.name) != allowed.end(); };
	if (allows(kConnect))
		for (images::File &file : *document.mutable_files())
			if (is_connecting(file))
				file.mutable_socket()->set_accepted(std::string(kConnect.name));
	if (allows(kInotify))
		for (images::File &file : *document.mutable_files())
			if (has_lost_events(file))
				file.mutable_inotify()->set_accepted(std::string(kInotify.name));
	std::set<uint32_t> connecting; // File.id
	for (const images::File &file : document.files())
		if (is_connecting(file))
			connecting.insert(file.id());
	for (images::Ring &ring : *document.mutable_rings())
		for (Request &request : *ring.mutable_in_flight()) {
			const InexactKind *kind = inexact_kind_of(ring, request);
			if (!kind || !allows(*kind) || (kind == &kConnect && !connecting.contains(request.file())))
				continue;
			accept(*kind, request);
		}
}

std::map<std::string, unsigned> accepted_in(const images::Document &document)
{
	std::map<std::string, unsigned> counts;
	for (const images::Ring &ring : document.rings())
		for (const Request &request : ring.in_flight())
			if (!request.accepted().empty() && request.accepted() != kConnect.name)
				counts[request.accepted()]++;
	// With its request or without.
	for (const images::File &file : document.files())
		for (const std::string &accepted : {file.socket().accepted(), file.inotify().accepted()})
			if (!accepted.empty())
				counts[accepted]++;
	return counts;
}

std::string hint_of(const InexactKind &kind)
{
	return fmt::format("--allow-inexact {} takes it over: {}", kind.name, kind.seen);
}

} // namespace bpfckpt::uring
