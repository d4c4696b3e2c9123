// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// READ, WRITE and their vectored, fixed and multishot kin (io_uring/rw.c: struct io_rw, struct io_async_rw).
#include "user/uring/decode.h"

namespace bpfckpt::uring {

// IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_BE_NORM)
static constexpr uint16_t kDefaultIoprio = 2 << 13 | 4;

static constexpr uint32_t kMostIovecs = 1024; // UIO_MAXIOV

static std::string iter_path(const RequestSource &source)
{
	return source.layout->field("io_async_rw", "iter") ? "iter" : "s.iter"; // 6.1: inside of `s`
}

static void decode_common(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto rw = source.command("io_rw");
	auto async = source.async_data("io_async_rw");

	sqe.off = source.has_flag("REQ_F_CUR_POS") ? ~0ULL : rw.get("kiocb.ki_pos");
	// Without one of its own a request has that of its thread, which by default is this. A multishot read takes
	// none (io_uring/opdef.c: io_issue_defs), and has another if its thread is nice.
	auto ioprio = static_cast<uint16_t>(rw.get("kiocb.ki_ioprio"));
	bool has_own = ioprio != kDefaultIoprio && sqe.opcode != images::IORING_OP_READ_MULTISHOT;
	sqe.ioprio = has_own ? ioprio : 0;
	sqe.rw_flags = static_cast<__kernel_rwf_t>(rw.get("flags"));
	request.set_offset(sqe.off);
	request.set_op_flags(static_cast<uint32_t>(sqe.rw_flags));
	request.set_bytes_done(async.get("bytes_done"));
	if (source.has_flag("REQ_F_BUFFER_SELECT")) {
		// While it waits for a buffer, buf_index is that of the buffer tried last; the group is kept apart
		// since 6.14.
		sqe.buf_group = static_cast<uint16_t>(async.has("buf_group") ? async.get("buf_group")
									     : source.record->buf_index);
		request.set_buffer_group(sqe.buf_group);
	}
}

// It reads no more than it had asked for then, and no more than there is room in the buffer: rw.len, as the SQE has it.
static std::string decode_taken_buffer(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	iterators::KernelObject buffer(*source.layout, "io_buffer", source.taken_buffer);
	if (source.taken_buffer.empty() || buffer.get("addr") != source.command("io_rw").get("addr"))
		return "which provided buffer it has taken is not known";
	sqe.buf_group = static_cast<uint16_t>(buffer.get("bgid"));
	request.set_buffer_group(sqe.buf_group);
	request.set_taken_buffer(static_cast<uint32_t>(buffer.get("bid")));
	request.set_address(buffer.get("addr"));
	request.set_length(static_cast<uint32_t>(buffer.get("len")));
	return {};
}

std::string decode_rw(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto rw = source.command("io_rw");
	decode_common(source, request, sqe);
	bool selects = source.has_flag("REQ_F_BUFFER_SELECT");
	request.set_multishot(sqe.opcode == images::IORING_OP_READ_MULTISHOT);
	// Of a multishot one it is the length of the buffer tried last; it was submitted with 0.
	sqe.addr = selects ? 0 : rw.get("addr");
	sqe.len = request.multishot() ? 0 : static_cast<uint32_t>(rw.get("len"));
	if (sqe.opcode == IORING_OP_READ_FIXED || sqe.opcode == IORING_OP_WRITE_FIXED) {
		sqe.buf_index = source.record->buf_index;
		request.set_buffer_index(sqe.buf_index);
	}
	if (selects && source.has_flag("REQ_F_BUFFER_SELECTED"))
		return decode_taken_buffer(source, request, sqe);
	if (request.bytes_done() && !selects) {
		// The rest of it; ki_pos has moved on already.
		auto done = static_cast<uint32_t>(request.bytes_done());
		sqe.addr += done;
		sqe.len -= std::min(done, sqe.len);
	}
	request.set_address(sqe.addr);
	request.set_length(sqe.len);
	return {};
}

static std::string decode_fixed_vector(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	sqe.buf_index = source.record->buf_index;
	request.set_buffer_index(sqe.buf_index);
	for (const images::IoVec &iovec : source.iovecs)
		*request.add_iovecs() = iovec;
	sqe.len = static_cast<uint32_t>(request.iovecs_size());
	request.set_length(sqe.len);
	bool known = sqe.len && sqe.len <= kMostIovecs;
	return known ? "" : "which parts of its registered buffer it is about is not known";
}

std::string decode_rw_vector(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto rw = source.command("io_rw");
	decode_common(source, request, sqe);
	if (sqe.opcode == images::IORING_OP_READV_FIXED || sqe.opcode == images::IORING_OP_WRITEV_FIXED)
		return decode_fixed_vector(source, request, sqe);
	if (source.has_flag("REQ_F_BUFFER_SELECT")) {
		sqe.len = 1;
		return {};
	}
	add_iovecs(source, source.async_data("io_async_rw"), iter_path(source), request);
	if (request.iovecs().empty()) {
		request.set_address(rw.get("addr"));
		sqe.addr = rw.get("addr");
		sqe.len = static_cast<uint32_t>(rw.get("len"));
	} else {
		sqe.len = static_cast<uint32_t>(request.iovecs_size());
	}
	request.set_length(sqe.len);
	return {};
}

} // namespace bpfckpt::uring
