/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Completions that a ring owes, made by NOPs of its own: where the SQ has no array, nothing else takes its head beyond
// the completions, and where they have a second half, a message has no room for it (user/uring/counters.h).
#pragma once

#include <memory>

#include "user/restore/ring_parts.h"

namespace bpfckpt::restore {

class Submitter;

class OwedPoster {
public:
	OwedPoster(NewRing &ring, const OpenFiles &files);
	~OwedPoster();
	OwedPoster(const OwedPoster &) = delete;
	OwedPoster &operator=(const OwedPoster &) = delete;

	// False: a message has to do it, because no more NOPs are needed that a message can stand for (NewRing.owed),
	// or because it has flags that none has.
	Result<bool> post(const images::Cqe &cqe);
	Result<> close();

private:
	NewRing &ring_;
	const OpenFiles &files_;
	std::unique_ptr<Submitter> submitter_;
};

// Whether a NOP can have any result on this kernel (since v6.10).
bool can_inject_results();
// Or a second half (since v6.18).
bool can_make_wide_completions();

} // namespace bpfckpt::restore
