// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/classify.h"

#include <cerrno>
#include <fcntl.h>

#include <algorithm>
#include <array>

namespace bpfckpt::uring {

namespace {

void complete(images::Request &request, int32_t result, uint32_t flags)
{
	request.set_class_(images::Request::COMPLETED);
	request.set_result(result);
	request.set_completion_flags(flags);
}

bool starts_with(std::string_view text, std::string_view prefix)
{
	return text.substr(0, prefix.size()) == prefix;
}

bool is_read_or_write(uint8_t opcode)
{
	switch (opcode) {
	case images::IORING_OP_READ:
	case images::IORING_OP_READV:
	case images::IORING_OP_READ_FIXED:
	case images::IORING_OP_READV_FIXED:
	case images::IORING_OP_WRITE:
	case images::IORING_OP_WRITEV:
	case images::IORING_OP_WRITE_FIXED:
	case images::IORING_OP_WRITEV_FIXED:
		return true;
	default:
		return false;
	}
}

// A direct write's result is made up by the queued function (IOCB_DIO_CALLER_COMP).
bool is_direct_write(const RequestSource &source)
{
	return is_read_or_write(source.record->opcode) && source.command("io_rw").get("kiocb.dio_complete");
}

// What the queued function is about to do (io_uring/*.c); false: it will look again, as if it had just been submitted.
bool is_completion(const RequestSource &source, std::string_view work, images::Request &request)
{
	const uring_request_record &record = *source.record;
	if (starts_with(work, "io_timeout_complete")) {
		complete(request, -ETIME, request.multishot() ? 2 : 0); // IORING_CQE_F_MORE
		return true;
	}
	// It is still to cancel what it belongs to, or that has finished.
	if (starts_with(work, "io_req_task_link_timeout")) {
		if (source.command("io_timeout").get("prev"))
			return false;
		complete(request, -ETIME, 0);
		return true;
	}
	// Up to 6.12 a message of another ring is a request of this one (io_uring/msg_ring.c: io_msg_remote_post()).
	if (starts_with(work, "io_msg_tw_complete")) {
		request.set_opcode(images::IORING_OP_MSG_RING);
		complete(request, record.res, record.cqe_flags);
		return true;
	}
	if (starts_with(work, "io_req_tw_fail_links")) {
		complete(request, source.has_flag("REQ_F_FAIL") ? record.res : -ECANCELED, 0);
		return true;
	}
	if (starts_with(work, "io_futex_complete") || starts_with(work, "io_futexv_complete")) {
		complete(request, record.res, 0);
		return true;
	}
	if (starts_with(work, "io_req_rw_complete") && is_direct_write(source))
		return false;
	for (const char *name : {"io_req_task_complete", "io_req_rw_complete", "io_req_task_cancel",
				 "io_notif_tw_complete", "io_complete_rw"}) {
		if (starts_with(work, name)) {
			complete(request, record.res, record.cqe_flags);
			return true;
		}
	}
	return false;
}

bool is_retry(std::string_view work)
{
	return std::ranges::any_of(std::array{"io_poll_task_func", "io_req_task_submit", "io_req_queue_iowq",
					      "io_waitid_cb", "io_apoll_task_func", "io_req_task_link_timeout"},
				   [&](const char *name) { return starts_with(work, name); });
}

} // namespace

bool waits_without_bound(const RequestSource &source, bool disk)
{
	if (is_read_or_write(source.record->opcode))
		return !disk && !source.has_flag("REQ_F_ISREG");
	switch (source.record->opcode) {
	case images::IORING_OP_POLL_ADD:
	case images::IORING_OP_TIMEOUT:
	case images::IORING_OP_LINK_TIMEOUT:
	case images::IORING_OP_ACCEPT:
	case images::IORING_OP_CONNECT:
	case images::IORING_OP_SEND:
	case images::IORING_OP_RECV:
	case images::IORING_OP_SENDMSG:
	case images::IORING_OP_RECVMSG:
	case images::IORING_OP_SEND_ZC:
	case images::IORING_OP_SENDMSG_ZC:
	case images::IORING_OP_RECV_ZC:
	case images::IORING_OP_READ_MULTISHOT:
	case images::IORING_OP_WAITID:
	case images::IORING_OP_FUTEX_WAIT:
	case images::IORING_OP_FUTEX_WAITV:
	case images::IORING_OP_EPOLL_WAIT:
	case images::IORING_OP_SPLICE:
	case images::IORING_OP_TEE:
	case images::IORING_OP_URING_CMD:
		return true;
	case images::IORING_OP_OPENAT:
	case images::IORING_OP_OPENAT2:
		// A FIFO without its other end; what is not repeatable is waited for.
		return !(source.command("io_open").get("how.flags") & (O_CREAT | O_TRUNC));
	default:
		return false;
	}
}

bool is_for_its_thread(const RequestSource &source, bool large_completions)
{
	const uring_request_record &record = *source.record;
	constexpr uint64_t kTimeoutMultishot = 1 << 6;
	bool is_repeating = record.opcode == images::IORING_OP_TIMEOUT &&
			    source.async_data("io_timeout_data").get("flags") & kTimeoutMultishot;
	return large_completions || record.link || is_repeating || is_direct_write(source) ||
	       record.opcode == images::IORING_OP_NOP || record.opcode == images::IORING_OP_FUTEX_WAITV ||
	       record.opcode == images::IORING_OP_SEND_ZC || record.opcode == images::IORING_OP_SENDMSG_ZC ||
	       record.opcode == images::IORING_OP_URING_CMD || source.has_flag("REQ_F_BUFFER_SELECT") ||
	       source.has_flag("REQ_F_MULTISHOT");
}

void classify(const RequestSource &source, const Sighting &sighting, std::string_view work, bool bounded,
	      const std::string &obstacle, images::Request &request)
{
	uint32_t place = sighting.record->place;
	auto again = obstacle.empty() ? images::Request::REARMABLE : images::Request::UNKNOWN;

	if (place == URING_PLACE_COMPLETING)
		return complete(request, source.record->res, source.record->cqe_flags);
	if (sighting.queued && is_completion(source, work, request))
		return;
	if (place == URING_PLACE_TASK_WORK || place == URING_PLACE_FALLBACK)
		request.set_class_(is_retry(work) ? again : images::Request::UNKNOWN);
	else
		request.set_class_(bounded ? images::Request::BOUNDED : again);
}

} // namespace bpfckpt::uring
