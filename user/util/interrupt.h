/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// InterruptGuard: while a target is stopped or a file half written, no signal that people and shells send ends or stops
// bpfckpt. SIGINT, SIGTERM, SIGHUP and SIGQUIT are held back and asked for at the steps in between, so that every undo
// runs as at any other error; those of job control are held back until the end; who no longer reads what is printed
// (SIGPIPE) is ignored.
#pragma once

#include <csignal>
#include <ctime>
#include <functional>

#include "user/util/result.h"

namespace bpfckpt {

// Asked between the parts of what takes long, by any thread: its error ends that.
using MayGoOn = std::function<Result<>()>;

inline Result<> may_always_go_on()
{
	return {};
}

class InterruptGuard {
public:
	// For the calling thread and all that it starts.
	InterruptGuard()
	{
		sigemptyset(&ending_);
		for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
			sigaddset(&ending_, signal);
		sigset_t held = ending_;
		for (int signal : {SIGTSTP, SIGTTIN, SIGTTOU})
			sigaddset(&held, signal);
		pthread_sigmask(SIG_BLOCK, &held, &before_);
		struct sigaction ignore = {};
		ignore.sa_handler = SIG_IGN;
		sigaction(SIGPIPE, &ignore, &pipe_before_);
	}
	~InterruptGuard()
	{
		const timespec now = {};
		while (too_late_ && interrupted() && sigtimedwait(&ending_, nullptr, &now) > 0)
			;
		sigaction(SIGPIPE, &pipe_before_, nullptr);
		pthread_sigmask(SIG_SETMASK, &before_, nullptr);
	}
	InterruptGuard(const InterruptGuard &) = delete;
	InterruptGuard &operator=(const InterruptGuard &) = delete;

	// Whether one that ends bpfckpt waits to be delivered. It is delivered when the guard ends.
	[[nodiscard]] bool interrupted() const
	{
		sigset_t pending;
		sigpending(&pending);
		for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
			if (sigismember(&pending, signal) && !sigismember(&before_, signal))
				return true;
		return false;
	}
	Result<> check() const
	{
		if (interrupted())
			return Error(Code::kBusy, "interrupted by a signal");
		return {};
	}

	// What a signal would have ended is done: one that waits, or comes before the guard ends, is dropped.
	void commit() { too_late_ = true; }

private:
	bool too_late_ = false;
	sigset_t ending_;
	sigset_t before_;
	struct sigaction pipe_before_;
};

} // namespace bpfckpt
