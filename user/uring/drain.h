/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Waiting until nothing is in flight but what can be submitted again, and until the kernel's count proves that all of
// it was found. Nothing is done to the target: the kernel finishes disk I/O and the like by itself, also while the
// target's threads are stopped, and a busy io-wq worker must not be signalled (its request would complete with
// -ERESTARTSYS).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>

#include "iterators/kernel_layout.h"
#include "iterators/uring_reader.h"
#include "user/util/result.h"

namespace bpfckpt::uring {

// Whether a struct file is a regular file, a directory or a block device: I/O on it ends by itself.
using IsDisk = std::function<bool(uint64_t file)>;

struct DrainReport {
	unsigned rounds = 0;     // of reading the rings
	unsigned waited_for = 0; // requests that were bounded in the first round
	unsigned missing = 0;    // requests counted and not found in the first round
	std::chrono::nanoseconds waited{};
};

// Reads `rings` again until they are settled; the first look is at what the last run() read, which was for the same
// rings. `layout` is loaded before the freeze.
// Errors: kTimeout, naming the requests of each ring; those of UringReader::run().
Result<DrainReport> drain(iterators::UringReader &reader, std::span<const uint64_t> rings,
			  const iterators::KernelLayout &layout, const IsDisk &is_disk,
			  std::chrono::milliseconds limit);

// The same look at a running process, which nothing keeps from going on: reads until the rings are settled, or have
// moved so often that no walk of them will be whole, or the limit has passed. Gives the rings that stood still all the
// while and are not settled all the same: what a dump would wait for. Errors: those of UringReader::run().
Result<std::unordered_set<uint64_t>> observe(iterators::UringReader &reader, std::span<const uint64_t> rings,
					     const iterators::KernelLayout &layout, const IsDisk &is_disk,
					     std::chrono::milliseconds limit);

} // namespace bpfckpt::uring
