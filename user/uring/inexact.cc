// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/inexact.h"

#include <algorithm>

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
	{"timeout", "the next expiry of a repeating timeout comes late, by up to one period; all others as before"},
};

const InexactKind &kWaitall = kKinds[0];
const InexactKind &kTimeout = kKinds[1];

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
	if (allowed.empty())
		return;
	for (images::Ring &ring : *document.mutable_rings())
		for (Request &request : *ring.mutable_in_flight()) {
			const InexactKind *kind = inexact_kind_of(ring, request);
			if (!kind || std::ranges::find(allowed, kind->name) == allowed.end())
				continue;
			accept(*kind, request);
		}
}

std::map<std::string, unsigned> accepted_in(const images::Document &document)
{
	std::map<std::string, unsigned> counts;
	for (const images::Ring &ring : document.rings())
		for (const Request &request : ring.in_flight())
			if (!request.accepted().empty())
				counts[request.accepted()]++;
	return counts;
}

std::string hint_of(const InexactKind &kind)
{
	return fmt::format("--allow-inexact {} takes it over: {}", kind.name, kind.seen);
}

} // namespace bpfckpt::uring
