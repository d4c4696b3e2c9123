// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_owed.h"

#include <liburing.h>

#include "user/restore/ring_submitter.h"

namespace bpfckpt::restore {

static constexpr uint32_t kInjectResult = 1; // IORING_NOP_INJECT_RESULT

static io_uring_sqe nop_with(int32_t result, uint64_t user_data)
{
	io_uring_sqe sqe = {};
	sqe.opcode = IORING_OP_NOP;
	sqe.user_data = user_data;
	if (result) {
		sqe.rw_flags = kInjectResult;
		sqe.len = static_cast<uint32_t>(result);
	}
	return sqe;
}

OwedPoster::OwedPoster(NewRing &ring, const OpenFiles &files) : ring_(ring), files_(files) {}

OwedPoster::~OwedPoster() = default;

Result<bool> OwedPoster::post(const images::Cqe &cqe)
{
	if (!ring_.owed || cqe.flags())
		return false;
	if (!submitter_) {
		submitter_ = std::make_unique<Submitter>(ring_, ring_.maker, files_);
		TRY(submitter_->open());
	}
	images::Request request;
	io_uring_sqe sqe = nop_with(cqe.res(), cqe.user_data());
	request.set_opcode(images::IORING_OP_NOP);
	request.set_sqe(&sqe, sizeof(sqe));
	uring::Chain chain = {&request};
	const uring::Chain *only = &chain;
	// What was sent as a message before comes before it.
	if (ring_.image.flags() & IORING_SETUP_DEFER_TASKRUN)
		TRY(submitter_->run_deferred());
	TRY(submitter_->submit(std::span(&only, 1), ring_.word(ring_.image.layout().sq_head())));
	ring_.owed--;
	return true;
}

Result<> OwedPoster::close()
{
	return submitter_ ? submitter_->close() : Result<>();
}

bool can_inject_results()
{
	constexpr int kResult = -42;
	io_uring ring = {};
	if (::io_uring_queue_init(1, &ring, 0) < 0)
		return false;
	*::io_uring_get_sqe(&ring) = nop_with(kResult, 0);
	io_uring_cqe *told = nullptr;
	bool injected = ::io_uring_submit_and_wait(&ring, 1) == 1 && ::io_uring_peek_cqe(&ring, &told) == 0 &&
			told->res == kResult;
	::io_uring_queue_exit(&ring);
	return injected;
}

} // namespace bpfckpt::restore
