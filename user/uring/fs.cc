// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Operations on files and paths (io_uring/openclose.c, splice.c, sync.c, advise.c, truncate.c, fs.c, statx.c, xattr.c).
#include "user/uring/decode.h"

namespace bpfckpt::uring {

std::string decode_open(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto open = source.command("io_open");
	sqe.fd = static_cast<int>(open.get("dfd"));
	sqe.open_flags = static_cast<uint32_t>(open.get("how.flags"));
	sqe.len = static_cast<uint32_t>(open.get("how.mode"));
	sqe.file_index = static_cast<uint32_t>(open.get("file_slot"));
	tell_sqe(sqe, request);
	request.set_fd(sqe.fd);
	request.set_path(source.path.value_or(""));
	request.set_address3(open.get("how.resolve"));
	tell_open_limit(open, request);
	if (request.path().empty())
		return "its path could not be read";
	return {};
}

std::string decode_splice(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	auto splice = source.command("io_splice");
	// A tee has none, and leaves there what was before (io_tee_prep()).
	if (source.record->opcode == images::IORING_OP_SPLICE) {
		sqe.splice_off_in = splice.get("off_in");
		sqe.off = splice.get("off_out");
	}
	sqe.len = static_cast<uint32_t>(splice.get("len"));
	sqe.splice_flags = static_cast<uint32_t>(splice.get("flags"));
	sqe.splice_fd_in = static_cast<int>(splice.get("splice_fd_in"));
	tell_sqe(sqe, request);
	request.set_file_index(0); // shares its place with splice_fd_in
	request.set_fd(sqe.splice_fd_in);
	return {};
}

std::string decode_file(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	using namespace images;
	switch (source.record->opcode) {
	case images::IORING_OP_CLOSE: {
		auto close = source.command("io_close");
		sqe.fd = static_cast<int>(close.get("fd"));
		sqe.file_index = static_cast<uint32_t>(close.get("file_slot"));
		request.set_fd(sqe.fd);
		break;
	}
	case images::IORING_OP_FADVISE:
	case images::IORING_OP_MADVISE: {
		bool memory = source.record->opcode == images::IORING_OP_MADVISE;
		auto advise = source.command(memory ? "io_madvise" : "io_fadvise");
		// A length of more than 32 bits goes where the other operation has its address.
		uint64_t length = advise.get("len"), wide = length >> 32 ? length : 0;
		sqe.addr = memory ? advise.get("addr") : wide;
		sqe.off = memory ? wide : advise.get("offset");
		sqe.len = wide ? 0 : static_cast<uint32_t>(length);
		sqe.fadvise_advice = static_cast<uint32_t>(advise.get("advice"));
		break;
	}
	case images::IORING_OP_FTRUNCATE:
		sqe.off = source.command("io_ftrunc").get("len");
		break;
	case images::IORING_OP_FIXED_FD_INSTALL: {
		// The open flags here are the kernel's: O_CLOEXEC unless IORING_FIXED_FD_NO_CLOEXEC was given.
		bool cloexec = source.command("io_fixed_install").get("o_flags") != 0;
		sqe.rw_flags = cloexec ? 0 : 1;
		break;
	}
	case images::IORING_OP_PIPE: {
		auto pipe = source.command("io_pipe");
		sqe.addr = pipe.get("fds");
		sqe.rw_flags = static_cast<__kernel_rwf_t>(pipe.get("flags"));
		sqe.file_index = static_cast<uint32_t>(pipe.get("file_slot"));
		tell_open_limit(pipe, request);
		break;
	}
	default: {
		auto sync = source.command("io_sync");
		bool allocate = source.record->opcode == images::IORING_OP_FALLOCATE;
		sqe.off = sync.get("off");
		sqe.addr = allocate ? sync.get("len") : 0;
		sqe.len = static_cast<uint32_t>(allocate ? sync.get("mode") : sync.get("len"));
		sqe.fsync_flags = static_cast<uint32_t>(sync.get("flags"));
	}
	}
	tell_sqe(sqe, request);
	return {};
}

// Names are copies of the kernel's, which whoever executes the request takes out of it.
std::string decode_path(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	using namespace images;
	switch (source.record->opcode) {
	case images::IORING_OP_STATX: {
		auto statx = source.command("io_statx");
		sqe.fd = static_cast<int>(statx.get("dfd"));
		sqe.len = static_cast<uint32_t>(statx.get("mask"));
		sqe.addr2 = statx.get("buffer");
		sqe.statx_flags = static_cast<uint32_t>(statx.get("flags"));
		break;
	}
	case images::IORING_OP_UNLINKAT: {
		auto unlink = source.command("io_unlink");
		sqe.fd = static_cast<int>(unlink.get("dfd"));
		sqe.unlink_flags = static_cast<uint32_t>(unlink.get("flags"));
		break;
	}
	default: {
		auto mkdir = source.command("io_mkdir");
		sqe.fd = static_cast<int>(mkdir.get("dfd"));
		sqe.len = static_cast<uint32_t>(mkdir.get("mode"));
	}
	}
	tell_sqe(sqe, request);
	request.set_fd(sqe.fd);
	request.set_path(source.path.value_or(""));
	return source.path ? "" : "its path could not be read";
}

std::string decode_two_paths(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	bool renames = source.record->opcode == images::IORING_OP_RENAMEAT;
	auto command = source.command(renames ? "io_rename" : "io_link");
	if (source.record->opcode == images::IORING_OP_SYMLINKAT) { // the first is no path to anything yet
		sqe.fd = static_cast<int>(command.get("new_dfd"));
	} else {
		sqe.fd = static_cast<int>(command.get("old_dfd"));
		sqe.len = static_cast<uint32_t>(command.get("new_dfd"));
		sqe.rename_flags = static_cast<uint32_t>(command.get("flags")); // also hardlink_flags
	}
	tell_sqe(sqe, request);
	request.set_fd(sqe.fd);
	request.set_path(source.path.value_or(""));
	request.set_path2(source.path2.value_or(""));
	return source.path && source.path2 ? "" : "its paths could not be read";
}

// The value that one of these sets is a copy of the kernel's, too; where one that gets it puts it is the program's.
std::string decode_attribute(const RequestSource &source, images::Request &request, io_uring_sqe &sqe)
{
	uint8_t opcode = source.record->opcode;
	bool by_path = opcode == images::IORING_OP_SETXATTR || opcode == images::IORING_OP_GETXATTR;
	bool sets = opcode == images::IORING_OP_SETXATTR || opcode == images::IORING_OP_FSETXATTR;
	auto xattr = source.command("io_xattr");
	if (by_path)
		sqe.fd = 0; // nobody looks at it
	sqe.len = static_cast<uint32_t>(xattr.get("ctx.size"));
	sqe.addr2 = sets ? 0 : xattr.get("ctx.cvalue");
	sqe.xattr_flags = static_cast<uint32_t>(xattr.get("ctx.flags"));
	tell_sqe(sqe, request);
	request.set_attribute(source.attribute.value_or(""));
	if (by_path)
		request.set_path(source.path.value_or(""));
	if (sets)
		request.set_attribute_value(source.attribute_value.data(), source.attribute_value.size());
	if (request.attribute().empty() || (by_path && !source.path))
		return "its names could not be read";
	return request.attribute_value().size() == (sets ? sqe.len : 0) ? "" : "its value could not be read";
}

} // namespace bpfckpt::uring
