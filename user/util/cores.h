/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Work that threads take from one queue until it is empty.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "user/util/memory_suffices.h"

namespace bpfckpt {

// Runs `work` on all cores at once, on `most` of them at the most, and returns when all are done.
template <class Work>
void on_cores(size_t most, Work &&work)
{
	static constexpr size_t kMaxThreads = 8;
	size_t threads =
		std::min<size_t>(most, std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMaxThreads));
	std::vector<std::jthread> helpers;
	try {
		while (helpers.size() + 1 < threads)
			helpers.emplace_back([&work] { work(); });
	} catch (const std::system_error &) {
		threads = helpers.size() + 1; // no more are to be had: these do the rest
	}
	work();
}

// Calls make(i) for each i < count, `batch` of them in a row. The first error ends it.
template <class Make>
Result<> for_each_on_cores(size_t count, size_t batch, Make &&make)
{
	std::atomic<size_t> next = 0;
	std::mutex mutex;
	Result<> outcome;
	on_cores(count / batch, [&] {
		for (size_t first = next.fetch_add(batch); first < count; first = next.fetch_add(batch)) {
			for (size_t i = first; i < std::min(count, first + batch); i++) {
				Result<> done = if_memory_suffices([&] { return make(i); });
				if (done)
					continue;
				next = count;
				std::lock_guard lock(mutex);
				outcome = std::move(done);
				return;
			}
		}
	});
	return outcome;
}

} // namespace bpfckpt
