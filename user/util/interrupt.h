/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// InterruptGuard: SIGINT, SIGTERM, SIGHUP and SIGQUIT are held back while a target is stopped or a file half written,
// and are asked for at the steps in between; so every undo runs as at any other error.
#pragma once

#include <csignal>

#include "user/util/result.h"

namespace bpfckpt
{

class InterruptGuard
{
public:
	// For the calling thread and all that it starts.
	InterruptGuard()
	{
		sigemptyset(&held_);
		for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
			sigaddset(&held_, signal);
		pthread_sigmask(SIG_BLOCK, &held_, &before_);
	}
	~InterruptGuard() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
	InterruptGuard(const InterruptGuard &) = delete;
	InterruptGuard &operator=(const InterruptGuard &) = delete;

	// Whether one of them waits to be delivered. It is delivered when the guard ends.
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

private:
	sigset_t held_;
	sigset_t before_;
};

} // namespace bpfckpt
