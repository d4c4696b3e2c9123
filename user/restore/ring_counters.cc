// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SQ head and CQ tail, which only the kernel moves.
//
// The SQ tail is set to the end at once: the kernel takes no more than it is told to. All SQEs are zero, which is a
// NOP. The CQ head has to follow, or the queue would run over; the maker moves it between two submissions by a system
// call that adds to memory, so that a thousand of them go in one batch. It stops where the CQEs that are not read yet
// begin, because the kernel works out beforehand how many it may post (io_cqe_cache_refill).
#include <algorithm>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/ring_message.h"
#include "user/restore/ring_owed.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

namespace {

constexpr uint32_t kMostAtOnce = 256; // more is slower: requests no longer come from the cache
constexpr size_t kCallsOfBatch = 2048;

class CounterPump {
public:
	CounterPump(NewRing &ring, const OpenFiles &files)
		: ring_(ring),
		  messenger_(ring),
		  owed_(ring, files),
		  submissions_(ring.word(ring.image.layout().sq_head()) + ring.steps.nops + ring.steps.skips +
			       ring.steps.drops),
		  completions_(ring.steps.nops + ring.steps.posts),
		  tail_(ring.word(ring.image.layout().cq_tail())),
		  head_(ring.word(ring.image.layout().cq_head()))
	{
	}
	Result<> run();

private:
	Result<> map_head();
	Result<> drop(uint32_t count);
	Result<> submit(uint32_t count, bool with_completions);
	Result<uint32_t> let_thread_take(uint32_t count);
	Result<> post(uint32_t count);
	Result<> take_posted(uint32_t count);
	Result<> overflow();
	Result<> check() const;
	uint32_t move_head(uint32_t posted);
	void advance_head(uint32_t posted);
	Result<> unmap_head();
	void fill_array(uint32_t index) const;
	void set_sqe_flags(uint8_t flags) const;
	[[nodiscard]] const images::RingLayout &layout() const { return ring_.image.layout(); }

	NewRing &ring_;
	Messenger messenger_;
	OwedPoster owed_;
	uint32_t submissions_; // in the end
	uint32_t completions_; // still to come
	uint32_t tail_;
	uint32_t head_;
	uint64_t mapping_ = 0; // of the queues, in the maker
};

// What has to be added to the CQ head after `posted` more completions.
uint32_t CounterPump::move_head(uint32_t posted)
{
	tail_ += posted;
	completions_ -= posted;
	uint32_t before = head_;
	head_ = ring_.read_up_to(tail_);
	return head_ - before;
}

void CounterPump::fill_array(uint32_t index) const
{
	if (layout().sq_array())
		for (uint32_t i = 0; i < ring_.image.sq_entries(); i++)
			ring_.set_word(layout().sq_array() + i * 4, index);
}

void CounterPump::set_sqe_flags(uint8_t flags) const
{
	std::vector<std::byte> bytes(ring_.sqes.size());
	for (size_t at = 0; at < bytes.size(); at += layout().sqe_size())
		bytes[at + offsetof(io_uring_sqe, flags)] = static_cast<std::byte>(flags);
	ring_.sqes.write(0, bytes);
}

Result<> CounterPump::map_head()
{
	mapping_ = ring_.queues.address();
	if (ring_.is_in_user_memory())
		return {};
	SyscallBatch batch;
	size_t call = batch.add(SYS_mmap, 0, ring_.queues.size(), PROT_READ | PROT_WRITE, MAP_SHARED, ring_.number,
				IORING_OFF_SQ_RING);
	TRY(batch.run(ring_.maker));
	mapping_ = static_cast<uint64_t>(batch.result(call));
	return {};
}

Result<> CounterPump::unmap_head()
{
	if (ring_.is_in_user_memory())
		return {};
	SyscallBatch batch;
	batch.add(SYS_munmap, mapping_, ring_.queues.size());
	return batch.run(ring_.maker);
}

void CounterPump::advance_head(uint32_t posted)
{
	uint32_t before = ring_.word(layout().cq_head());
	ring_.set_word(layout().cq_head(), before + move_head(posted));
}

Result<> CounterPump::drop(uint32_t count)
{
	fill_array(~0U);
	while (count && ring_.has_sq_thread())
		count -= TRY(let_thread_take(count));
	while (count) {
		SyscallBatch batch;
		for (; count && batch.size() < kCallsOfBatch; count--)
			batch.add_optional(SYS_io_uring_enter, ring_.number, 1, 0, 0, 0, 0);
		TRY(batch.run(ring_.maker));
	}
	fill_array(0);
	return {};
}

void add_to_head(SyscallBatch &batch, uint64_t head, uint32_t count)
{
	if (count)
		batch.add(SYS_futex, head, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, head,
			  static_cast<uint32_t>(FUTEX_OP(FUTEX_OP_ADD, count, FUTEX_OP_CMP_EQ, 0)));
}

// As many of these as the SQ has room for.
Result<uint32_t> CounterPump::let_thread_take(uint32_t count)
{
	count = std::min(count, ring_.image.sq_entries());
	TRY(take_submissions(ring_, ring_.word(layout().sq_head()) + count));
	return count;
}

Result<> CounterPump::submit(uint32_t count, bool with_completions)
{
	uint32_t at_once = std::min(kMostAtOnce, ring_.image.sq_entries());
	// A NOP that restrictions deny counts, too, but it ends the submission.
	if (ring_.image.has_restrictions() && !(ring_.image.flags() & IORING_SETUP_SUBMIT_ALL))
		at_once = 1;
	while (count && ring_.has_sq_thread()) {
		uint32_t taken = TRY(let_thread_take(std::min(count, at_once)));
		if (with_completions)
			advance_head(taken);
		count -= taken;
	}
	while (count) {
		SyscallBatch batch;
		std::vector<std::pair<size_t, uint32_t>> expected;
		while (count && batch.size() < kCallsOfBatch) {
			uint32_t now = std::min(count, at_once);
			expected.emplace_back(batch.add(SYS_io_uring_enter, ring_.number, now, 0, 0, 0, 0), now);
			if (with_completions)
				add_to_head(batch, mapping_ + layout().cq_head(), move_head(now));
			count -= now;
		}
		TRY(batch.run(ring_.maker));
		for (auto [call, submitted] : expected)
			if (batch.result(call) != submitted)
				return make_error(Code::kInternal, "took {} of {} requests", batch.result(call),
						  submitted)
					.on(ring_.name());
	}
	return {};
}

// With DEFER_TASKRUN they wait until the issuer comes for them, once `count` are there.
Result<> CounterPump::take_posted(uint32_t count)
{
	if (!(ring_.image.flags() & IORING_SETUP_DEFER_TASKRUN))
		return {};
	SyscallBatch batch;
	batch.add(SYS_io_uring_enter, ring_.number, 0, count, IORING_ENTER_GETEVENTS, 0, 0);
	return batch.run(ring_.maker);
}

Result<> CounterPump::post(uint32_t count)
{
	while (count) {
		uint32_t room = ring_.image.cq_entries() - (tail_ - head_);
		uint32_t now = std::min({count, room, Messenger::kMostBlank});
		TRY(messenger_.post_blank(now));
		TRY(take_posted(tail_ - head_ + now));
		advance_head(now);
		count -= now;
	}
	return {};
}

// The queue is full now, so these go where they were. The kernel runs 20 deferred ones at a time if it need not wait
// (IO_LOCAL_TW_DEFAULT_MAX), and it cannot wait for what goes to the list.
Result<> CounterPump::overflow()
{
	constexpr int kDeferredAtOnce = 16;
	for (int i = 0; i < ring_.image.overflow_size(); i++) {
		if (TRY(owed_.post(ring_.image.overflow(i))))
			submissions_++;
		else
			TRY(messenger_.post(ring_.image.overflow(i)));
		if (i % kDeferredAtOnce == kDeferredAtOnce - 1 || i == ring_.image.overflow_size() - 1)
			TRY(take_posted(0));
	}
	return {};
}

Result<> CounterPump::check() const
{
	uint32_t submitted = ring_.word(layout().sq_head()), completed = ring_.word(layout().cq_tail());
	if (submitted != submissions_ || completed != ring_.image.cq_tail() || ring_.word(ring_.params.cq_off.overflow))
		return make_error(Code::kInternal, "has counters {} and {}, not {} and {}", submitted, completed,
				  submissions_, ring_.image.cq_tail())
			.on(ring_.name());
	return {};
}

Result<> CounterPump::run()
{
	const uring::CounterSteps &steps = ring_.steps;
	if (!steps.count())
		return {};
	TRY(map_head());
	if (!ring_.has_sq_thread())
		ring_.set_word(layout().sq_tail(), submissions_);
	advance_head(0);
	TRY(drop(steps.drops));
	if (steps.skips) {
		set_sqe_flags(IOSQE_CQE_SKIP_SUCCESS);
		TRY(submit(steps.skips, false));
		set_sqe_flags(0);
	}
	TRY(submit(steps.nops, true));
	TRY(post(steps.posts));
	ring_.owed = steps.owed;
	TRY(overflow());
	TRY(owed_.close());
	TRY(unmap_head());
	return check();
}

} // namespace

Result<> align_counters(NewRing &ring, const OpenFiles &files)
{
	return CounterPump(ring, files).run();
}

} // namespace bpfckpt::restore
