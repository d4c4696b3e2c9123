/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// RequestSource: all that was read of one request in flight (struct io_kiocb), and the means to make sense of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "images/uring.pb.h"
#include "iterators/kernel_layout.h"
#include "iterators/uring_record.h"

namespace bpfckpt::uring {

struct RequestSource {
	const uring_request_record *record = nullptr;
	const iterators::KernelLayout *layout = nullptr;
	std::span<const uint8_t> async;    // what req->async_data points to; empty: it has none
	std::vector<images::IoVec> iovecs; // of its iov_iter, as they lie in the kernel: iov_offset is not applied yet.
					   // Of a vector of parts of a registered buffer what the program passed
	std::optional<std::string> path;   // nothing: it has none, or it could not be read
	std::optional<std::string> path2;
	std::optional<std::string> attribute;     // name of an extended attribute
	std::span<const uint8_t> attribute_value; // that it is to be set to
	std::span<const uint8_t> taken_buffer;    // struct io_buffer, if one was taken of a classic group
	std::span<const uint8_t> command_sqe;     // uring_cmd
	std::string_view work;    // the function that is queued for it; empty: none, or its name is not known
	int descriptor = -1;      // fixed slot, or what a request that has not begun will look up
	uint32_t completions = 0; // of the ring, not counting timeouts: what timeouts with a count compare with
	std::function<int64_t(uint32_t)> now; // nanoseconds on a clockid_t at the capture
	mutable bool cut = false;             // some of it was larger than what was read of it

	// Nothing has been done of it (io_uring/io_uring.c: io_req_task_queue()).
	[[nodiscard]] bool is_to_be_issued() const { return work.starts_with("io_req_task_submit"); }
	// Of one that waits for a file: told to end, which happens when its work runs (io_uring/poll.c:
	// io_poll_cancel_req(), IO_POLL_CANCEL_FLAG). The word says nothing of others.
	[[nodiscard]] bool is_cancelled_poll() const
	{
		return (work.starts_with("io_poll_task_func") || work.starts_with("io_apoll_task_func")) &&
		       record->poll_refs & kPollCancelled;
	}
	static constexpr uint32_t kPollCancelled = 1U << 31;
	[[nodiscard]] iterators::KernelObject command(std::string_view type) const
	{
		return {*layout, type, record->command};
	}
	// Notes it if only a part of the object was read.
	[[nodiscard]] iterators::KernelObject async_data(std::string_view type) const
	{
		cut |= !async.empty() && layout->size_of(type) > async.size();
		return {*layout, type, async};
	}
	[[nodiscard]] bool has_flag(std::string_view name) const
	{
		return (record->req_flags & layout->request_flag(name)) != 0;
	}
};

} // namespace bpfckpt::uring
