// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Who takes what lies in the SQ: a thread that enters the ring, or the ring's own (io_uring/sqpoll.c). That one needs
// to be woken only when it sleeps, which nobody has to know: waking it is harmless.
#include <atomic>
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

void wake_sq_thread(const NewRing &ring)
{
	syscall(SYS_io_uring_enter, ring.fd, 0, 0, IORING_ENTER_SQ_WAKEUP, nullptr, 0);
}

static Result<> let_thread_take(const NewRing &ring, uint32_t tail)
{
	std::atomic_ref<uint32_t> head(ring.word(ring.image.layout().sq_head()));
	auto end = std::chrono::steady_clock::now() + kPatience;
	wake_sq_thread(ring);
	while (head.load(std::memory_order_acquire) != tail) {
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
	std::atomic_ref<uint32_t>(ring.word(layout.sq_tail())).store(tail, std::memory_order_release);
	if (ring.has_sq_thread())
		return let_thread_take(ring, tail);
	SyscallBatch batch;
	size_t call = batch.add(SYS_io_uring_enter, ring.number, count, 0, 0, 0, 0);
	TRY(batch.run(ring.maker));
	if (batch.result(call) != count)
		return make_error(Code::kInternal, "took {} of {} requests", batch.result(call), count)
			.on(ring.name());
	return {};
}

} // namespace bpfckpt::restore
