// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_owed.h"

#include <liburing.h>

#include "user/restore/ring_submitter.h"

namespace bpfckpt::restore {

static constexpr uint32_t kInjectResult = 1;   // IORING_NOP_INJECT_RESULT
static constexpr uint32_t kNopCqe32 = 1U << 5; // IORING_NOP_CQE32 (v6.18)

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

static void add_second_half(uint64_t first, uint64_t second, io_uring_sqe &sqe)
{
	sqe.rw_flags |= static_cast<__kernel_rwf_t>(kNopCqe32);
	sqe.off = first;
	sqe.addr = second;
}

OwedPoster::OwedPoster(NewRing &ring, const OpenFiles &files) : ring_(ring), files_(files) {}

OwedPoster::~OwedPoster() = default;

Result<bool> OwedPoster::post(const images::Cqe &cqe)
{
	bool wide = uring::is_wide(ring_.image, cqe);
	if (!wide && (!ring_.owed || !uring::has_flags_of_nop(ring_.image, cqe.flags())))
		return false;
	if (!submitter_) {
		submitter_ = std::make_unique<Submitter>(ring_, ring_.maker, files_);
		TRY(submitter_->open());
	}
	images::Request request;
	io_uring_sqe sqe = nop_with(cqe.res(), cqe.user_data());
	if (wide || cqe.flags())
		add_second_half(wide ? cqe.extra(0) : 0, wide ? cqe.extra(1) : 0, sqe);
	request.set_opcode(images::IORING_OP_NOP);
	request.set_sqe(&sqe, sizeof(sqe));
	uring::Chain chain = {&request};
	const uring::Chain *only = &chain;
	// What was sent as a message before comes before it.
	if (ring_.image.flags() & IORING_SETUP_DEFER_TASKRUN)
		TRY(submitter_->run_deferred());
	TRY(submitter_->submit(std::span(&only, 1), ring_.word(ring_.image.layout().sq_head())));
	if (!wide)
		ring_.owed--;
	return true;
}

Result<> OwedPoster::close()
{
	return submitter_ ? submitter_->close() : Result<>();
}

static constexpr int kResult = -42;

static bool tells_result(const io_uring_sqe &sqe, unsigned setup)
{
	io_uring ring = {};
	if (::io_uring_queue_init(1, &ring, setup) < 0)
		return false;
	*::io_uring_get_sqe(&ring) = sqe;
	io_uring_cqe *told = nullptr;
	bool tells = ::io_uring_submit_and_wait(&ring, 1) == 1 && ::io_uring_peek_cqe(&ring, &told) == 0 &&
		     told->res == kResult;
	::io_uring_queue_exit(&ring);
	return tells;
}

bool can_inject_results()
{
	return tells_result(nop_with(kResult, 0), 0);
}

// Flags that are not known are an error, or (up to v6.9) are not looked at.
bool can_make_wide_completions()
{
	io_uring_sqe sqe = nop_with(kResult, 0);
	add_second_half(0, 0, sqe);
	return tells_result(sqe, IORING_SETUP_CQE32);
}

} // namespace bpfckpt::restore
