// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// FUTEX_WAIT, FUTEX_WAITV, FUTEX_WAKE, WAITID, EPOLL_WAIT, EPOLL_CTL (io_uring/futex.c, waitid.c, epoll.c).
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "user/uring/decode.h"
#include "user/uring/rearm.h"

namespace bpfckpt::uring {

namespace {

// kernel/futex/futex.h: futex2_to_flags() turned round. FLAGS_SIZE_MASK 3, FLAGS_SHARED 0x10, FLAGS_NUMA 0x80,
// FLAGS_MPOL 0x200; FUTEX2_NUMA 4, FUTEX2_MPOL 8.
uint32_t futex2_flags(uint64_t kernel)
{
	uint32_t flags = kernel & 3;
	if (!(kernel & 0x10))
		flags |= FUTEX_PRIVATE_FLAG;
	if (kernel & 0x80)
		flags |= 4;
	if (kernel & 0x200)
		flags |= 8;
	return flags;
}

} // namespace

std::string decode_futex(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto futex = source.command("io_futex");
	sqe.addr = futex.get("uaddr");
	sqe.addr2 = futex.get("futex_val");
	sqe.addr3 = futex.get("futex_mask");
	sqe.fd = static_cast<int>(futex2_flags(futex.get("futex_flags")));
	request.set_address(sqe.addr);
	request.set_address2(sqe.addr2);
	request.set_address3(sqe.addr3);
	request.set_fd(sqe.fd);
	return {};
}

std::string decode_futex_vector(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto futex = source.command("io_futex");
	sqe.fd = 0; // anything else is refused
	sqe.len = static_cast<uint32_t>(futex.get("futex_nr"));
	request.set_length(sqe.len);
	// 7.2 puts a header before the array.
	auto waiters = source.async;
	if (auto header = source.layout->field("io_futexv_data", "futexv"))
		waiters = waiters.subspan(std::min<size_t>(header->offset, waiters.size()));
	size_t step = source.layout->size_of("futex_vector");
	for (uint32_t i = 0; i < sqe.len && step && (i + 1) * step <= waiters.size(); i++) {
		iterators::KernelObject waiter(*source.layout, "futex_vector", waiters.subspan(i * step, step));
		images::FutexWaiter *message = request.add_futexes();
		message->set_address(waiter.get("w.uaddr"));
		message->set_value(waiter.get("w.val"));
		message->set_flags(futex2_flags(waiter.get("w.flags")));
	}
	if (static_cast<uint32_t>(request.futexes_size()) != sqe.len)
		return "its list of futexes could not be read";
	return {};
}

std::string decode_waitid(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto wait = source.command("io_waitid");
	sqe.len = static_cast<uint32_t>(wait.get("which"));
	sqe.fd = static_cast<int>(wait.get("upid"));
	// Its number may be another process's by now, or the group that of another time (kernel/exit.c:
	// kernel_waitid_prepare()): what it waits for is told by what the kernel has made of it.
	bool by_descriptor = sqe.len == P_PIDFD, own_group = sqe.len == P_PGID && !sqe.fd;
	bool looked_up = (by_descriptor || own_group) && !has_not_begun(request);
	request.set_length(sqe.len);
	request.set_fd(sqe.fd);
	if (looked_up)
		sqe.fd = static_cast<int>(source.record->waited_for);
	if (looked_up && by_descriptor)
		sqe.len = P_PID;
	sqe.file_index = static_cast<uint32_t>(wait.get("options"));
	sqe.addr2 = wait.get("infop");
	request.set_op_flags(sqe.file_index);
	request.set_address2(sqe.addr2);
	if (looked_up && !sqe.fd)
		return "what it waits for is not visible here";
	return {};
}

std::string decode_epoll(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto wait = source.command("io_epoll_wait");
	sqe.len = static_cast<uint32_t>(wait.get("maxevents"));
	sqe.addr = wait.get("events");
	request.set_length(sqe.len);
	request.set_address(sqe.addr);
	return {};
}

// It looks up both descriptors when it begins.
std::string decode_epoll_control(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto epoll = source.command("io_epoll");
	sqe.fd = static_cast<int>(epoll.get("epfd"));
	sqe.len = static_cast<uint32_t>(epoll.get("op"));
	sqe.off = static_cast<uint32_t>(epoll.get("fd"));
	tell_sqe(sqe, request);
	request.set_fd(sqe.fd);
	if (sqe.len != EPOLL_CTL_DEL) { // which has none (include/linux/eventpoll.h: ep_op_has_event())
		request.set_poll_events(static_cast<uint32_t>(epoll.get("event.events")));
		request.set_event_data(epoll.get("event.data"));
	}
	return {};
}

} // namespace bpfckpt::uring
