/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// POSIX timers and interval timers of chosen processes, by bpf/timer.bpf.c.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "iterators/timer_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

// How many records there is room for. needed() of a run that failed with Code::kLimit fits the next load().
struct TimerCapacity {
	uint32_t timers = 4096;
	uint32_t processes = 256;
};

// All that one round has read: views of the maps, valid until the next one.
struct TimerRecords {
	std::span<const timer_record> timers = {};
	std::span<const itimer_record> itimers = {};
};

class TimerReader {
public:
	static Result<TimerReader> load(const TimerCapacity &capacity = {});
	TimerReader(TimerReader &&) noexcept;
	TimerReader &operator=(TimerReader &&) noexcept;
	~TimerReader();

	// The processes that run() reads, in place of the earlier ones. A pid that does not exist (any more) gives no
	// records.
	Result<> attach(std::span<const unsigned> pids);
	Result<> run();

	[[nodiscard]] TimerRecords records() const;
	[[nodiscard]] TimerCapacity needed() const;

private:
	struct State;
	explicit TimerReader(std::unique_ptr<State> state);
	std::unique_ptr<State> state_;
};

} // namespace bpfckpt::iterators
