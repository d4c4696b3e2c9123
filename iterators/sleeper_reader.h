/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Deadlines of sleeping threads, from their kernel stacks (bpf/sleeper.bpf.c).
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
	// For not more than `threads` of them.
	static Result<SleeperReader> load(uint32_t threads);
	SleeperReader(SleeperReader &&) noexcept;
	SleeperReader &operator=(SleeperReader &&) noexcept;
	~SleeperReader();

	// Whose deadlines run() is to find (struct task_struct, from task records). Code::kLimit if that is more than
	// there is room for.
	Result<> look_at(std::span<const uint64_t> tasks);

	// One pass.
	Result<> run();

	// Valid until the next run().
	[[nodiscard]] std::span<const sleeper_record> sleepers() const;

private:
	struct State;
	explicit SleeperReader(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::iterators
