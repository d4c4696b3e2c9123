// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/decode.h"

#include <array>
#include <cstring>

namespace bpfckpt::uring {

namespace {

// Opcodes newer than the kernel headers of the oldest build machine are named as images/opcode.proto names them.
std::array<DecodeFamily *, 64> make_table()
{
	using namespace images;
	std::array<DecodeFamily *, 64> table = {};
	auto family = [&](DecodeFamily *decode, std::initializer_list<int> opcodes) {
		for (int opcode : opcodes)
			table[static_cast<size_t>(opcode)] = decode;
	};
	family(decode_nop, {IORING_OP_NOP});
	family(decode_poll, {IORING_OP_POLL_ADD});
	family(decode_poll_update, {IORING_OP_POLL_REMOVE});
	family(decode_rw, {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
			   IORING_OP_READ_MULTISHOT});
	family(decode_rw_vector, {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READV_FIXED, IORING_OP_WRITEV_FIXED});
	family(decode_send, {IORING_OP_SEND, IORING_OP_SEND_ZC});
	family(decode_send_message, {IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC});
	family(decode_receive, {IORING_OP_RECV});
	family(decode_receive_message, {IORING_OP_RECVMSG});
	family(decode_accept, {IORING_OP_ACCEPT});
	family(decode_connect, {IORING_OP_CONNECT, IORING_OP_BIND});
	family(decode_socket, {IORING_OP_SHUTDOWN, IORING_OP_SOCKET, IORING_OP_LISTEN});
	family(decode_timeout, {IORING_OP_TIMEOUT, IORING_OP_LINK_TIMEOUT});
	family(decode_timeout_update, {IORING_OP_TIMEOUT_REMOVE});
	family(decode_futex, {IORING_OP_FUTEX_WAIT, IORING_OP_FUTEX_WAKE});
	family(decode_futex_vector, {IORING_OP_FUTEX_WAITV});
	family(decode_waitid, {IORING_OP_WAITID});
	family(decode_epoll, {IORING_OP_EPOLL_WAIT});
	family(decode_epoll_control, {IORING_OP_EPOLL_CTL});
	family(decode_open, {IORING_OP_OPENAT, IORING_OP_OPENAT2});
	family(decode_splice, {IORING_OP_SPLICE, IORING_OP_TEE});
	family(decode_file,
	       {IORING_OP_FSYNC, IORING_OP_SYNC_FILE_RANGE, IORING_OP_FALLOCATE, IORING_OP_CLOSE, IORING_OP_FADVISE,
		IORING_OP_MADVISE, IORING_OP_FTRUNCATE, IORING_OP_FIXED_FD_INSTALL, IORING_OP_PIPE});
	family(decode_path, {IORING_OP_STATX, IORING_OP_UNLINKAT, IORING_OP_MKDIRAT});
	family(decode_two_paths, {IORING_OP_RENAMEAT, IORING_OP_SYMLINKAT, IORING_OP_LINKAT});
	family(decode_attribute, {IORING_OP_FSETXATTR, IORING_OP_SETXATTR, IORING_OP_FGETXATTR, IORING_OP_GETXATTR});
	family(decode_cancel, {IORING_OP_ASYNC_CANCEL});
	family(decode_message, {IORING_OP_MSG_RING});
	family(decode_command, {IORING_OP_URING_CMD});
	family(decode_resources, {IORING_OP_FILES_UPDATE, IORING_OP_PROVIDE_BUFFERS, IORING_OP_REMOVE_BUFFERS});
	return table;
}

// struct iovec[] and where the iterator stands in the first of them.
void drop_front(google::protobuf::RepeatedPtrField<images::IoVec> &iovecs, uint64_t offset)
{
	if (iovecs.empty())
		return;
	images::IoVec &first = iovecs[0];
	offset = std::min(offset, first.length());
	first.set_address(first.address() + offset);
	first.set_length(first.length() - offset);
}

} // namespace

void tell_sqe(const io_uring_sqe &sqe, images::Request &request)
{
	request.set_address(sqe.addr);
	request.set_address3(sqe.addr3);
	request.set_offset(sqe.off);
	request.set_length(sqe.len);
	request.set_op_flags(static_cast<uint32_t>(sqe.rw_flags));
	request.set_file_index(sqe.file_index);
}

// A fixed slot takes no number.
void tell_open_limit(const iterators::KernelObject &command, images::Request &request)
{
	if (!command.get("file_slot"))
		request.set_open_limit(command.get("nofile"));
}

void add_iovecs(const RequestSource &source, const iterators::KernelObject &object, const std::string &path,
		images::Request &request)
{
	uint64_t type = object.get(path + ".iter_type");
	uint64_t offset = object.get(path + ".iov_offset");
	uint64_t rest = object.get(path + ".count");
	if (type == static_cast<uint64_t>(source.layout->enumerator("iter_type", "ITER_UBUF").value_or(-1))) {
		images::IoVec *only = request.add_iovecs();
		only->set_address(object.get(path + ".ubuf") + offset);
		only->set_length(rest);
		return;
	}
	source.cut |= source.iovecs.size() != object.get(path + ".nr_segs");
	for (const images::IoVec &iovec : source.iovecs)
		*request.add_iovecs() = iovec;
	drop_front(*request.mutable_iovecs(), offset);
}

std::string decode_request(const RequestSource &source, images::Request &request)
{
	static const auto table = make_table();
	io_uring_sqe sqe = {};
	sqe.opcode = source.record->opcode;
	sqe.flags = static_cast<uint8_t>(request.flags());
	sqe.user_data = source.record->user_data;
	sqe.personality = static_cast<uint16_t>(request.personality());
	sqe.fd = source.descriptor;

	DecodeFamily *decode = source.record->opcode < table.size() ? table[source.record->opcode] : nullptr;
	if (!decode)
		return "its opcode is not known to this version";
	std::string obstacle = decode(source, request, sqe);
	if (obstacle.empty() && source.cut)
		obstacle = "the kernel's copy of its arguments was read in part only";
	request.set_ioprio(sqe.ioprio);
	if (obstacle.empty())
		request.set_sqe(&sqe, sizeof(sqe));
	return obstacle;
}

} // namespace bpfckpt::uring
