// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/opcode.h"

#include "images/opcode.pb.h"

namespace bpfckpt::uring {

bool uses_file(uint8_t opcode)
{
	switch (opcode) {
	case images::IORING_OP_NOP:
	case images::IORING_OP_POLL_REMOVE:
	case images::IORING_OP_TIMEOUT:
	case images::IORING_OP_TIMEOUT_REMOVE:
	case images::IORING_OP_ASYNC_CANCEL:
	case images::IORING_OP_LINK_TIMEOUT:
	case images::IORING_OP_OPENAT:
	case images::IORING_OP_OPENAT2:
	case images::IORING_OP_CLOSE:
	case images::IORING_OP_FILES_UPDATE:
	case images::IORING_OP_STATX:
	case images::IORING_OP_MADVISE:
	case images::IORING_OP_EPOLL_CTL:
	case images::IORING_OP_PROVIDE_BUFFERS:
	case images::IORING_OP_REMOVE_BUFFERS:
	case images::IORING_OP_RENAMEAT:
	case images::IORING_OP_UNLINKAT:
	case images::IORING_OP_MKDIRAT:
	case images::IORING_OP_SYMLINKAT:
	case images::IORING_OP_LINKAT:
	case images::IORING_OP_SETXATTR:
	case images::IORING_OP_GETXATTR:
	case images::IORING_OP_SOCKET:
	case images::IORING_OP_WAITID:
	case images::IORING_OP_FUTEX_WAIT:
	case images::IORING_OP_FUTEX_WAKE:
	case images::IORING_OP_FUTEX_WAITV:
	case images::IORING_OP_PIPE:
		return false;
	default:
		return true;
	}
}

} // namespace bpfckpt::uring
