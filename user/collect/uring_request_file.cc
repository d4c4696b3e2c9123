// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring_request_file.h"

#include <algorithm>

#include "images/descriptors.h"

namespace bpfckpt::collect {

const images::Process *process_of(const images::Document &document, uint32_t tid)
{
	for (const images::Process &process : document.processes())
		if (std::ranges::find(process.threads(), tid, &images::Thread::tid) != process.threads().end())
			return &process;
	return nullptr;
}

uint32_t file_of_descriptor(const images::Document &document, uint32_t tid, int32_t fd)
{
	const images::Process *process = process_of(document, tid);
	return process ? images::file_of(*process, static_cast<uint32_t>(fd)) : 0;
}

std::optional<uint32_t> descriptor_of(const images::Document &document, uint32_t tid, uint32_t file)
{
	const images::Process *process = process_of(document, tid);
	return process ? images::descriptor_of(*process, file) : std::nullopt;
}

bool is_punted(const uring_request_record &record)
{
	return record.place == URING_PLACE_WQ_WORKER || record.place == URING_PLACE_WQ_QUEUE ||
	       record.place == URING_PLACE_WQ_HASHED;
}

bool has_begun(const uring_request_record &record)
{
	switch (record.place) {
	case URING_PLACE_LINK:
	case URING_PLACE_DEFERRED:
	case URING_PLACE_TASK_WORK:
	case URING_PLACE_FALLBACK:
	case URING_PLACE_WQ_QUEUE:
	case URING_PLACE_WQ_HASHED:
		return record.file != 0;
	default:
		return true;
	}
}

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

} // namespace bpfckpt::collect
