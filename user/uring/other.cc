// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// NOP, ASYNC_CANCEL, MSG_RING, URING_CMD, and operations on the ring's own tables (io_uring/nop.c, cancel.c,
// msg_ring.c, uring_cmd.c, rsrc.c, kbuf.c).
#include "user/uring/decode.h"

namespace bpfckpt::uring {

static constexpr __kernel_rwf_t kNopFixedBuffer = 1U << 3; // IORING_NOP_FIXED_BUFFER (v6.13)
static constexpr __kernel_rwf_t kNopCqe32 = 1U << 5;       // IORING_NOP_CQE32 (v6.18)
static constexpr uint32_t kCancelFd = 1U << 1;             // IORING_ASYNC_CANCEL_FD
static constexpr uint32_t kCancelOp = 1U << 5;             // IORING_ASYNC_CANCEL_OP

std::string decode_nop(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto nop = source.command("io_nop");
	sqe.rw_flags = static_cast<__kernel_rwf_t>(nop.get("flags"));
	sqe.len = sqe.rw_flags & 1 ? static_cast<uint32_t>(nop.get("result")) : 0; // IORING_NOP_INJECT_RESULT
	sqe.fd = static_cast<int>(nop.get("fd"));
	if (sqe.rw_flags & kNopFixedBuffer)
		sqe.buf_index = static_cast<uint16_t>(nop.has("buffer") ? nop.get("buffer") : source.record->buf_index);
	if (sqe.rw_flags & kNopCqe32) {
		sqe.off = nop.get("extra1");
		sqe.addr = nop.get("extra2");
	}
	tell_sqe(sqe, request);
	return {};
}

std::string decode_cancel(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto cancel = source.command("io_cancel");
	sqe.addr = cancel.get("addr");
	sqe.cancel_flags = static_cast<uint32_t>(cancel.get("flags"));
	// Without these flags nothing is put there at all (io_uring/cancel.c: io_async_cancel_prep()).
	sqe.fd = sqe.cancel_flags & kCancelFd ? static_cast<int>(cancel.get("fd")) : 0;
	sqe.len = sqe.cancel_flags & kCancelOp ? static_cast<uint32_t>(cancel.get("opcode")) : 0;
	tell_sqe(sqe, request);
	request.set_fd(sqe.fd);
	return {};
}

std::string decode_message(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto message = source.command("io_msg");
	sqe.off = message.get("user_data");
	sqe.len = static_cast<uint32_t>(message.get("len"));
	sqe.addr = message.get("cmd");
	sqe.addr3 = message.get("src_fd");
	sqe.file_index = static_cast<uint32_t>(message.get("dst_fd"));
	sqe.rw_flags = static_cast<__kernel_rwf_t>(message.get("flags"));
	tell_sqe(sqe, request);
	return {};
}

std::string decode_command(const RequestSource &source, images::Request &request, io_uring_sqe &)
{
	auto command = source.command("io_uring_cmd");
	request.set_op_flags(static_cast<uint32_t>(command.get("cmd_op")));
	return "it is a command to a driver";
}

std::string decode_resources(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	if (sqe.opcode == IORING_OP_FILES_UPDATE) {
		auto update = source.command("io_rsrc_update");
		sqe.addr = update.get("arg");
		sqe.len = static_cast<uint32_t>(update.get("nr_args"));
		sqe.off = update.get("offset");
	} else {
		auto provide = source.command("io_provide_buf");
		sqe.fd = static_cast<int>(provide.get("nbufs"));
		sqe.addr = provide.get("addr");
		sqe.len = static_cast<uint32_t>(provide.get("len"));
		sqe.off = provide.get("bid");
		sqe.buf_group = static_cast<uint16_t>(provide.get("bgid"));
		request.set_fd(sqe.fd);
		request.set_buffer_group(sqe.buf_group);
	}
	tell_sqe(sqe, request);
	return {};
}

} // namespace bpfckpt::uring
