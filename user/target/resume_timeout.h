/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The relative timeout of a call that is entered again, where it lies in the target's memory (struct timespec,
// timeval).
//
// select(2) and its kin keep there what remains, so we do too, unless they could not (a constant, STICKY_TIMEOUTS).
// Others must find it as it was: it is changed, the one thread goes on until it has read it, and it is put back while
// all its kin are still stopped, but those that were let go like this before. What cannot be written even so
// (lent_memory.h) is left alone: the wait starts anew.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include <sys/types.h>

#include "user/target/interrupted_syscall.h"
#include "user/target/lent_timespec.h"

namespace bpfckpt::target {

// Lets one stopped thread enter its call again, of whose timeout `remaining_ns` are left, calls `put_back` when it has
// read that, and detaches it. The end of a wait that is due is awaited: it might be over before the thread sleeps.
void enter_again(pid_t pid, pid_t tid, int64_t remaining_ns, const std::function<void()> &put_back);

class ShortenedTimeout {
public:
	// Nothing: the call has no timeout in memory.
	static std::optional<ShortenedTimeout> of(pid_t tid, const InterruptedSyscall &syscall);

	// Writes what remains. False: that is not less than what is there, or it could not be written.
	[[nodiscard]] bool shorten(pid_t tid, int64_t remaining_ns);
	// False: see LentTimespec::give_back().
	[[nodiscard]] bool put_back(pid_t tid) const;

private:
	explicit ShortenedTimeout(const LentTimespec &place) : place_(place) {}

	LentTimespec place_;
};

} // namespace bpfckpt::target
