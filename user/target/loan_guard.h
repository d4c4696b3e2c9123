/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a process is lent for a moment, it gets taken back even if bpfckpt is killed meanwhile: its timeouts, the place
// at which its socket is looked into.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "user/util/guard.h"

namespace bpfckpt::target {

class LoanGuard {
public:
	// Without one (no process can be made) there is just nobody to help.
	LoanGuard();
	~LoanGuard();
	LoanGuard(const LoanGuard &) = delete;
	LoanGuard &operator=(const LoanGuard &) = delete;

	// From before something is lent until it is back. `give_back` may be called while it is not lent, and twice; it
	// must not allocate.
	class Hold {
	public:
		Hold(LoanGuard &guard, const std::function<void()> &give_back) : guard_(guard)
		{
			guard_.held_ = &give_back;
		}
		~Hold() { guard_.held_ = nullptr; }
		Hold(const Hold &) = delete;
		Hold &operator=(const Hold &) = delete;

	private:
		LoanGuard &guard_;
	};

private:
	std::atomic<const std::function<void()> *> held_ = nullptr;
	std::unique_ptr<Guard> guard_;
};

} // namespace bpfckpt::target
