// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring_request_file.h"

#include <algorithm>

namespace bpfckpt::collect {

const images::Process *process_of(const images::Document &document, uint32_t tid)
{
	for (const images::Process &process : document.processes())
		if (std::ranges::find(process.threads(), tid, &images::Thread::tid) != process.threads().end())
			return &process;
	return nullptr;
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

} // namespace bpfckpt::collect
