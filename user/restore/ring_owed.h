/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Completions that a ring owes, made by NOPs of its own: where the SQ has no array, nothing else takes its head beyond
// the completions (user/uring/counters.h).
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

	// False: a message has to do it, because no more such NOPs are needed (NewRing.owed), or because it has flags.
	Result<bool> post(const images::Cqe &cqe);
	Result<> close();

private:
	NewRing &ring_;
	const OpenFiles &files_;
	std::unique_ptr<Submitter> submitter_;
};

// Whether a NOP can have any result on this kernel (since v6.10).
bool can_inject_results();

} // namespace bpfckpt::restore
