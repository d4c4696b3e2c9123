/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Rearming: the threads of a ring submit its requests again, chain by chain in their order.
#pragma once

#include <map>

#include "user/restore/ring_submitter.h"

namespace bpfckpt::restore {

class Rearming {
public:
	// The next place in the SQ is `head`.
	Rearming(const NewRing &ring, Tree &tree, const OpenFiles &files, uint32_t head)
		: ring_(ring), tree_(tree), files_(files), head_(head)
	{
	}
	// Gives the threads that are to submit `chains` what they need for that while it may still be had. submit()
	// does so otherwise.
	Result<> open(std::span<const uring::Chain> chains);
	// Goes on until `told` completions are there, as far as the kernel has any: it runs 20 deferred ones at a time.
	Result<> submit(std::span<const uring::Chain> chains, uint32_t told = 0);
	// Waits until io-wq is at what it has been given.
	Result<> wait_for_workers();
	Result<> close();
	// The kernel has taken all of them, and refused nothing that it had accepted before.
	[[nodiscard]] Result<> check() const;

private:
	Result<Submitter *> submitter_of(const images::Request &request);
	Result<target::Tracee *> thread_of(const images::Request &request);

	const NewRing &ring_;
	Tree &tree_;
	const OpenFiles &files_;
	uint32_t head_;
	std::map<pid_t, target::Tracee> helpers_; // for threads that have exited: they do so, too
	std::map<pid_t, Submitter> submitters_;   // by tid of the thread here
};

} // namespace bpfckpt::restore
