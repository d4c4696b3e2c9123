/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Deadlines of sleeping threads, from the hrtimer queues of all CPUs and from the threads' stacks (bpf/sleeper.bpf.c).
//
// To be run *before* a thread is interrupted: a call that fails with EINTR has taken its timer down by the time it
// stops.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "iterators/sleeper_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

class SleeperReader {
public:
	// Room for `capacity` sleeping threads of the whole system.
	static Result<SleeperReader> load(uint32_t capacity = 4096);
	SleeperReader(SleeperReader &&) noexcept;
	SleeperReader &operator=(SleeperReader &&) noexcept;
	~SleeperReader();

	// Threads (struct task_struct, from task records) on whose stacks run() looks for a timeout in the timer wheel.
	// Not more than kMaxThreads: the others' is not told.
	static constexpr uint32_t kMaxThreads = 16384;
	Result<> look_at(std::span<const uint64_t> tasks);

	// One pass. Code::kLimit if there are more sleepers than room: load again with room for needed().
	Result<> run();

	// Valid until the next run().
	[[nodiscard]] std::span<const sleeper_record> sleepers() const;
	[[nodiscard]] uint32_t needed() const;
	// The deadline of a thread, by its tid in our PID namespace; nullptr: it does not sleep on an hrtimer.
	[[nodiscard]] const sleeper_record *find(uint32_t tid) const;

private:
	struct State;
	explicit SleeperReader(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::iterators
