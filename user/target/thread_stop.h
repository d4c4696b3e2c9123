/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// One thread into a ptrace stop: PTRACE_SEIZE, PTRACE_INTERRUPT, and what waitpid(2) may say until it is there.
//
// The stop that counts is the PTRACE_EVENT_STOP in get_signal(): before any signal is dequeued, and with restart codes
// still in the registers. Whatever comes first is passed on as if nobody were tracing.
#pragma once

#include <functional>

#include <sys/types.h>

#include "user/target/pid_ref.h"
#include "user/util/result.h"

namespace bpfckpt::target {

// Makes a blocking waitpid(2) of this thread return with EINTR every 10 ms, from the first time it lasts so long.
class WaitTicks {
public:
	static Result<WaitTicks> create();
	WaitTicks(WaitTicks &&other) noexcept;
	WaitTicks &operator=(WaitTicks &&) = delete;
	~WaitTicks();

	void start();
	void stop();

private:
	WaitTicks() = default;
	void *timer_ = nullptr;
	bool owned_ = false;
};

struct ThreadStop {
	enum Kind {
		kTrapped,      // by our PTRACE_INTERRUPT
		kGroupStopped, // by job control
		kNewChild,     // made `child`, which is seized already; goes on to its own stop
		kVfork,        // the same, and cannot stop before `child` has called execve(2) or exited
		kGone,         // exited, or became another thread in execve(2)
		kTick,         // not stopped after 10 ms
	} kind;
	pid_t child = 0;
};

// Errors: kGone, kBusy (already traced; names the tracer), kPermission.
Result<> seize(pid_t tid);
// Without effect on a thread that is gone.
void interrupt(pid_t tid);
Result<ThreadStop> wait_for_stop(pid_t tid);
// Takes one report of a seized thread, if there is one (WNOHANG) or when there is (0), and lets the thread run to its
// execve(2), where it stops.
void go_on_until_exec(pid_t tid, int wait_options);
// False: it is not stopped any more; killed, most likely.
bool detach(pid_t tid);
// Takes the end of a thread that was killed in its stop, which its parent hears of only then (kernel/ptrace.c:
// __ptrace_detach()). False: it is still on its way out.
bool take_end(pid_t tid);

} // namespace bpfckpt::target
