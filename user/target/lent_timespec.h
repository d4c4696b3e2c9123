/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A relative timeout in the target's memory (struct timespec, or timeval), which a call that is entered again reads
// when it begins: it holds what remains until then.
#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

namespace bpfckpt::target {

class LentTimespec {
public:
	// What is there now. Nothing: it cannot be read. `unit_ns`: of its fraction, 1 or 1000.
	static std::optional<LentTimespec> at(pid_t tid, uint64_t address, int64_t unit_ns);

	// INT64_MAX: more than that.
	[[nodiscard]] int64_t original_ns() const;
	// False: it could not be written, and is as it was. Rounded up; less than nothing is nothing.
	[[nodiscard]] bool lend(pid_t tid, int64_t ns);
	// Whoever has changed it meanwhile knows better. False: this thread is gone, or has that memory no longer.
	[[nodiscard]] bool give_back(pid_t tid) const;

private:
	struct Value {
		int64_t seconds = 0;
		int64_t fraction = 0;
		bool operator==(const Value &) const = default;
	};

	LentTimespec(uint64_t address, int64_t unit_ns) : address_(address), unit_ns_(unit_ns) {}

	uint64_t address_;
	int64_t unit_ns_;
	Value before_ = {};
	std::optional<Value> written_ = {}; // nothing: nothing was lent
};

} // namespace bpfckpt::target
