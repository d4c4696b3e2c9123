// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Socket operations (io_uring/net.c: struct io_sr_msg, io_accept, io_connect, struct io_async_msghdr).
#include <sys/socket.h>

#include "user/uring/decode.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::uring {

namespace {

// Above this the flags of struct io_sr_msg are the kernel's own (IORING_RECV_RETRY and the like).
constexpr uint64_t kUserSendFlags = 0xff;
// What the kernel itself adds to the flags of a send.
constexpr uint32_t kKernelMessageFlags = MSG_NOSIGNAL | MSG_ZEROCOPY;
// Multishot receive: IORING_RECV_MULTISHOT, multishot accept: IORING_ACCEPT_MULTISHOT (both ABI).
constexpr uint16_t kReceiveMultishot = 1 << 1;
constexpr uint16_t kAcceptMultishot = 1 << 0;
constexpr uint16_t kFixedBuffer = 1 << 2;
constexpr uint16_t kPollFirst = 1 << 0;  // IORING_RECVSEND_POLL_FIRST
constexpr uint16_t kVectorized = 1 << 5; // IORING_SEND_VECTORIZED

iterators::KernelObject decode_common(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto sr = source.command("io_sr_msg");
	sqe.ioprio = static_cast<uint16_t>(sr.get("flags") & kUserSendFlags);
	sqe.msg_flags = static_cast<uint32_t>(sr.get("msg_flags"));
	request.set_op_flags(sqe.msg_flags);
	request.set_bytes_done(sr.get("done_io"));
	if (source.has_flag("REQ_F_BUFFER_SELECT")) {
		sqe.buf_group =
			static_cast<uint16_t>(sr.has("buf_group") ? sr.get("buf_group") : source.record->buf_index);
		request.set_buffer_group(sqe.buf_group);
		// One that waits for its socket has not taken a buffer yet, but for a send (see below): that there is
		// none now is no error of it.
		if (source.record->place == URING_PLACE_POLL)
			sqe.ioprio |= kPollFirst;
	} else if (sqe.ioprio & kFixedBuffer) {
		sqe.buf_index = source.record->buf_index;
		request.set_buffer_index(sqe.buf_index);
	}
	return sr;
}

// Its buffers are those that its iterator is about, none of them begun. If the ring had more of them, it goes on with
// these afterwards, up to a length that no send is given (io_uring/net.c: io_mshot_prep_retry()).
std::string decode_bundle(const RequestSource &source, const iterators::KernelObject &sr, images::Request &request)
{
	add_iovecs(source, source.async_data("io_async_msghdr"), "msg.msg_iter", request);
	request.set_buffers_left(!source.has_flag("REQ_F_BL_EMPTY"));
	uint64_t length = 0;
	for (const images::IoVec &iovec : request.iovecs())
		length += iovec.length();
	if (length != sr.get("len"))
		return "it has taken several provided buffers, and which is not known";
	if (request.buffers_left() && sr.get("mshot_len"))
		return "how much it sends when it goes on with further provided buffers is not known";
	return {};
}

// A send keeps the buffer that it has taken while it waits (io_uring/kbuf.c: io_buffers_select()). Before v6.16 its
// group is not kept apart from the number of the buffer.
std::string decode_buffer_of_send(const RequestSource &source, const iterators::KernelObject &sr,
				  images::Request &request, io_uring_sqe &sqe)
{
	bool has_taken = source.has_flag("REQ_F_BUFFER_RING") || source.has_flag("REQ_F_BUFFER_SELECTED");
	if (!source.layout->field("buf_sel_arg", "buf_group")) {
		if (has_taken)
			return "the group of the provided buffer that it has taken is not known on this kernel";
		sqe.buf_group = source.record->buf_index;
		request.set_buffer_group(sqe.buf_group);
	}
	if (!has_taken)
		return {};
	request.set_taken_buffer(source.record->buf_index);
	sqe.ioprio &= ~kPollFirst;
	if (sqe.ioprio & kRecvSendBundle) {
		sqe.len = 0; // all of those that it finds
		return decode_bundle(source, sr, request);
	}
	request.set_address(sr.get("buf"));
	request.set_buffer_kept(source.has_flag("REQ_F_BUF_MORE"));
	if (!request.buffer_kept())
		sqe.len = 0; // all of that buffer
	return {};
}

// The destination of a send: the kernel's copy, the program's own may be gone.
void decode_address(const RequestSource &source, images::Request &request)
{
	auto message = source.async_data("io_async_msghdr");
	if (!message.get("msg.msg_name"))
		return;
	auto address = message.bytes_of("addr");
	auto length = std::min<size_t>(message.get("msg.msg_namelen"), address.size());
	request.set_sockaddr(address.data(), length);
}

} // namespace

std::string decode_send(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto sr = decode_common(source, request, sqe);
	sqe.msg_flags &= ~kKernelMessageFlags;
	bool selects = source.has_flag("REQ_F_BUFFER_SELECT");
	// buf and len move along with what is sent.
	sqe.addr = selects ? 0 : sr.get("buf");
	sqe.len = static_cast<uint32_t>(sr.get("len"));
	decode_address(source, request);
	sqe.addr_len = static_cast<uint16_t>(request.sockaddr().size());
	if (sqe.ioprio & kVectorized) { // the kernel's copy: the program's own may be gone
		if (sqe.ioprio & kFixedBuffer)
			return "which parts of its registered buffer it sends is not known";
		add_iovecs(source, source.async_data("io_async_msghdr"), "msg.msg_iter", request);
		sqe.addr = 0;
		sqe.len = static_cast<uint32_t>(request.iovecs_size());
	}
	request.set_address(sqe.addr);
	request.set_length(sqe.len);
	request.set_op_flags(sqe.msg_flags);
	return selects ? decode_buffer_of_send(source, sr, request, sqe) : "";
}

std::string decode_send_message(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto sr = decode_common(source, request, sqe);
	auto message = source.async_data("io_async_msghdr");
	sqe.msg_flags &= ~kKernelMessageFlags;
	if (sqe.ioprio & kFixedBuffer)
		return "which parts of its registered buffer it sends is not known";
	sqe.ioprio &= ~kVectorized; // newer kernels set it themselves
	sqe.len = 1;
	request.set_address(sr.get("umsg"));
	request.set_op_flags(sqe.msg_flags);
	add_iovecs(source, message, "msg.msg_iter", request);
	decode_address(source, request);
	request.set_message_control(sr.get("msg_control"));
	request.set_message_control_length(message.get("msg.msg_controllen"));
	return {};
}

std::string decode_receive(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto sr = decode_common(source, request, sqe);
	request.set_multishot(sqe.ioprio & kReceiveMultishot);
	bool selects = source.has_flag("REQ_F_BUFFER_SELECT");
	// With provided buffers, buf and len are those of the buffer tried last.
	sqe.addr = selects ? 0 : sr.get("buf");
	// A multishot one had 0 before it could have a limit (mshot_len).
	sqe.len = static_cast<uint32_t>(sr.get(request.multishot() ? "mshot_len" : "len"));
	if (request.multishot()) {
		sqe.file_index = static_cast<uint32_t>(sr.get("mshot_total_len")); // sqe->optlen
	}
	request.set_address(sqe.addr);
	request.set_length(sqe.len);
	return {};
}

std::string decode_receive_message(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto sr = decode_common(source, request, sqe);
	auto message = source.async_data("io_async_msghdr");
	request.set_multishot(sqe.ioprio & kReceiveMultishot);
	sqe.len = 1;
	if (request.multishot()) {
		// umsg is overwritten by the buffer tried last; of it only the two lengths count.
		request.set_address2(message.get("namelen"));
		request.set_message_control_length(message.get("controllen"));
		return {};
	}
	// Results go back to where the message header is: the address must stay.
	sqe.addr = sr.get("umsg");
	request.set_address(sqe.addr);
	request.set_address2(message.get("uaddr"));
	if (source.has_flag("REQ_F_BUFFER_SELECT")) { // of the one iovec that it may have, its length counts
		if (uint64_t length = sr.get("len"))
			request.add_iovecs()->set_length(length);
	} else {
		add_iovecs(source, message, "msg.msg_iter", request);
	}
	request.set_message_control(message.get("msg.msg_control_user"));
	request.set_message_control_length(message.get("msg.msg_controllen"));
	return {};
}

std::string decode_accept(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto accept = source.command("io_accept");
	sqe.addr = accept.get("addr");
	sqe.addr2 = accept.get("addr_len");
	sqe.accept_flags = static_cast<uint32_t>(accept.get("flags"));
	sqe.ioprio = static_cast<uint16_t>(accept.get("iou_flags"));
	if (!accept.has("iou_flags") && source.has_flag("REQ_F_APOLL_MULTISHOT"))
		sqe.ioprio = kAcceptMultishot; // 6.1 keeps it in the flags of the request only
	sqe.file_index = static_cast<uint32_t>(accept.get("file_slot"));
	request.set_multishot(sqe.ioprio & kAcceptMultishot);
	request.set_address(sqe.addr);
	request.set_address2(sqe.addr2);
	request.set_op_flags(sqe.accept_flags);
	request.set_file_index(sqe.file_index);
	tell_open_limit(accept, request);
	return {};
}

static bool is_address(std::span<const uint8_t> bytes)
{
	if (bytes.size() < 2)
		return false;
	int family = bytes[0] | bytes[1] << 8;
	return family == AF_UNIX || family == AF_INET || family == AF_INET6;
}

std::string decode_connect(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	bool bind = sqe.opcode == images::IORING_OP_BIND;
	sqe.addr2 = source.command(bind ? "io_bind" : "io_connect").get("addr_len");
	// Part of a message header since v6.10; alone before that, and again since a patch of June 2026 that stable
	// kernels have, too (20260602215327.1885109-2-krisman@suse.de; seen in 6.18.44). No type tells which, but a
	// header begins with a pointer, and no pointer with the number of a family. What lies behind an address that is
	// alone may be that of another request.
	auto message = source.async_data("io_async_msghdr");
	auto address = is_address(source.async) ? source.async : message.bytes_of("addr");
	if (!is_address(address))
		return "where it connects to is not known";
	request.set_sockaddr(address.data(), std::min<size_t>(sqe.addr2, address.size()));
	request.set_address2(sqe.addr2);
	return {};
}

std::string decode_socket(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	if (sqe.opcode == images::IORING_OP_SOCKET) {
		auto socket = source.command("io_socket");
		sqe.fd = static_cast<int>(socket.get("domain"));
		sqe.off = socket.get("type") | socket.get("flags");
		sqe.len = static_cast<uint32_t>(socket.get("protocol"));
		sqe.file_index = static_cast<uint32_t>(socket.get("file_slot"));
		request.set_fd(sqe.fd);
		request.set_offset(sqe.off);
		request.set_file_index(sqe.file_index);
		tell_open_limit(socket, request);
	} else if (sqe.opcode == images::IORING_OP_LISTEN) {
		sqe.len = static_cast<uint32_t>(source.command("io_listen").get("backlog"));
	} else {
		sqe.len = static_cast<uint32_t>(source.command("io_shutdown").get("how"));
	}
	request.set_length(sqe.len);
	return {};
}

} // namespace bpfckpt::uring
