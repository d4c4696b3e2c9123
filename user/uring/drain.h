/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Waiting until nothing is in flight but what can be submitted again, and until the kernel's count proves that all of
// it was found. The kernel finishes disk I/O and the like by itself, also while the target's threads are stopped, and a
// busy io-wq worker must not be signalled (its request would complete with -ERESTARTSYS). What is done and waits for a
// thread to post it is, for most requests, a completion that restore can make; for the others that thread is lent.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "iterators/kernel_layout.h"
#include "iterators/uring_reader.h"
#include "user/uring/drain_mode.h"
#include "user/uring/workers.h"
#include "user/util/interrupt.h"
#include "user/util/result.h"

namespace bpfckpt::uring {

// Work that is queued for a thread: with IORING_SETUP_DEFER_TASKRUN it waits for the submitter's io_uring_enter(2),
// otherwise for the next return to user mode of the thread that submitted the request, and neither comes while it is
// stopped.
struct Errand {
	uint64_t ring = 0; // struct io_ring_ctx
	uint32_t tid = 0;
	bool sq_thread = false;
};

struct DrainOptions {
	DrainMode mode = DrainMode::kAuto;
	std::chrono::milliseconds limit{};
	IsDisk is_disk;
	// Lets the thread do its work. False: it cannot; it is not asked again, and what is queued is judged as it is.
	std::function<Result<bool>(const Errand &)> run_errand;
	MayGoOn may_go_on = may_always_go_on;
};

// What one ring needed.
struct RingDrain {
	uint64_t ring = 0;       // struct io_ring_ctx
	unsigned waited_for = 0; // requests that were bounded at the first look
	unsigned missing = 0;    // requests counted and not found at the first look
	unsigned errands = 0;    // times that a thread was lent
	uint32_t found = 0;      // at the last look
	uint32_t counted = 0;
	std::chrono::nanoseconds waited{}; // until it was settled; 0: it was at the first look
};

struct DrainReport {
	unsigned rounds = 0; // of reading the rings
	std::chrono::nanoseconds waited{};
	std::vector<RingDrain> rings;
};

// Reads `rings` again until they are settled; the first look is at what the last run() read, which was for the same
// rings. `layout` is loaded before the freeze.
// Errors: kTimeout, naming the requests of each ring; those of UringReader::run(), of run_errand() and of may_go_on().
Result<DrainReport> drain(iterators::UringReader &reader, std::span<const uint64_t> rings,
			  const iterators::KernelLayout &layout, const DrainOptions &options);

// The same look at a running process, which nothing keeps from going on: reads until the rings are settled, or have
// moved so often that no walk of them will be whole, or the limit has passed. Gives the rings that stood still all the
// while and are not settled all the same: what a dump would wait for. Errors: those of UringReader::run().
Result<std::unordered_set<uint64_t>> observe(iterators::UringReader &reader, std::span<const uint64_t> rings,
					     const iterators::KernelLayout &layout, const IsDisk &is_disk,
					     std::chrono::milliseconds limit);

} // namespace bpfckpt::uring
