// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The queues of a ring that is being made, from both ends. Who takes what lies in the SQ: a thread that enters the
// ring, or the ring's own (io_uring/sqpoll.c). That one needs to be woken only when it sleeps, which nobody has to
// know: waking it is harmless.
#include <chrono>
#include <ctime>

#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/ring_parts.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

using target::SyscallBatch;

constexpr std::chrono::seconds kPatience{30};
constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 20'000};

void NewRing::set_sqe(uint32_t at, const io_uring_sqe &sqe) const
{
	uint32_t index = at & (image.sq_entries() - 1);
	sqes.write(size_t{index} * image.layout().sqe_size(), std::as_bytes(std::span(&sqe, 1)));
	if (image.layout().sq_array())
		set_word(image.layout().sq_array() + index * 4, index);
}

void NewRing::clear_sqes() const
{
	sqes.clear();
	if (uint32_t array = image.layout().sq_array())
		queues.write(array, std::vector<std::byte>(size_t{image.sq_entries()} * 4));
}

io_uring_cqe NewRing::cqe(uint32_t at) const
{
	uint32_t index = at & (image.cq_entries() - 1);
	return queues.get<io_uring_cqe>(image.layout().cqes() + size_t{index} * image.layout().cqe_size());
}

void wake_sq_thread(const NewRing &ring)
{
	syscall(SYS_io_uring_enter, ring.fd, 0, 0, IORING_ENTER_SQ_WAKEUP, nullptr, 0);
}

static Result<> let_thread_take(const NewRing &ring, uint32_t tail)
{
	auto end = std::chrono::steady_clock::now() + kPatience;
	wake_sq_thread(ring);
	while (ring.word(ring.image.layout().sq_head()) != tail) {
		if (std::chrono::steady_clock::now() > end)
			return make_error(Code::kTimeout, "has a submission thread that takes nothing for {} s",
					  kPatience.count())
				.on(ring.name());
		nanosleep(&kPause, nullptr);
	}
	return {};
}

Result<> take_submissions(const NewRing &ring, uint32_t tail)
{
	const images::RingLayout &layout = ring.image.layout();
	uint32_t count = tail - ring.word(layout.sq_head());
	ring.set_word(layout.sq_tail(), tail);
	if (ring.has_sq_thread())
		return let_thread_take(ring, tail);
	SyscallBatch batch;
	size_t call = batch.add(SYS_io_uring_enter, ring.number, count, 0, 0, 0, 0);
	TRY(batch.run(ring.maker));
	if (batch.result(call) != count)
		return make_error(Code::kInternal, "took {} of {} requests", batch.result(call), count).on(ring.name());
	return {};
}

} // namespace bpfckpt::restore
