// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// POLL_ADD, POLL_REMOVE (io_uring/poll.c).
#include <poll.h>
#include <sys/epoll.h>

#include "user/uring/decode.h"

namespace bpfckpt::uring {

// What every poll reports, asked for or not (io_uring/poll.c: IO_POLL_UNMASK).
static constexpr uint32_t kAlways = POLLERR | POLLHUP | POLLNVAL | POLLRDHUP;
static constexpr uint32_t kModes = EPOLLONESHOT | EPOLLET;

// io_poll_parse_events(): one-shot and edge-triggered are what is set unless asked otherwise.
static uint32_t poll_flags(uint32_t events)
{
	uint32_t flags = 0;
	if (!(events & EPOLLONESHOT))
		flags |= IORING_POLL_ADD_MULTI;
	if (!(events & EPOLLET))
		flags |= IORING_POLL_ADD_LEVEL;
	return flags;
}

std::string decode_poll(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto events = static_cast<uint32_t>(source.command("io_poll").get("events"));
	sqe.poll32_events = events & ~(kModes | kAlways);
	sqe.len = poll_flags(events);
	request.set_multishot(sqe.len & IORING_POLL_ADD_MULTI);
	request.set_poll_events(sqe.poll32_events);
	request.set_op_flags(sqe.len);
	return {};
}

std::string decode_poll_update(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto update = source.command("io_poll_update");
	sqe.addr = update.get("old_user_data");
	sqe.off = update.get("new_user_data");
	if (update.get("update_events")) {
		auto events = static_cast<uint32_t>(update.get("events"));
		sqe.len = IORING_POLL_UPDATE_EVENTS | (poll_flags(events) & IORING_POLL_ADD_MULTI);
		sqe.poll32_events = events & ~(kModes | kAlways);
	}
	if (update.get("update_user_data"))
		sqe.len |= IORING_POLL_UPDATE_USER_DATA;
	request.set_address(sqe.addr);
	request.set_address2(sqe.off);
	request.set_op_flags(sqe.len);
	request.set_poll_events(sqe.poll32_events);
	return {};
}

} // namespace bpfckpt::uring
