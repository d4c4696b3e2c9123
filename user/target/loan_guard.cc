// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/loan_guard.h"

namespace bpfckpt::target {

LoanGuard::LoanGuard()
{
	auto guard = Guard::start({
		.prepare = [] { return Result<>(); },
		.undo =
			[this] {
				if (const std::function<void()> *give_back = held_)
					(*give_back)();
			},
		.finish = [] {},
	});
	if (guard)
		guard_ = std::move(*guard);
}

LoanGuard::~LoanGuard()
{
	if (guard_)
		guard_->commit();
}

} // namespace bpfckpt::target
