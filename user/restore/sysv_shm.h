/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// System V shared memory segments (ipc/shm.c): made with their id, key, owner and mode, filled, and attached by the
// processes at their addresses. One that outlived the dump, because it was not marked to be removed, is taken again.
// Unlike all else that restore makes, they would outlive bpfckpt: a child of ours waits for its death, and removes
// them.
#pragma once

#include <span>
#include <vector>

#include <sys/types.h>

#include "images/memory.pb.h"
#include "user/restore/pages.h"
#include "user/restore/plan.h"
#include "user/target/batch.h"
#include "user/util/mapping.h"

namespace bpfckpt::restore {

class SysvSegments {
public:
	SysvSegments() = default;
	SysvSegments(const SysvSegments &) = delete;
	SysvSegments &operator=(const SysvSegments &) = delete;
	// Removes those that were made, unless they are kept.
	~SysvSegments();

	// Errors: kMismatch (id or key are in use), kKernelLacks (ids cannot be chosen).
	Result<> create(const Plan &plan, const PageImage &pages);
	// When the tree has attached them: those that were marked are marked again.
	Result<> mark();
	// From here on a death of bpfckpt leaves them to the tree.
	void hand_over();
	// The tree runs.
	void keep() { made_.clear(); }
	void remove();

private:
	struct Watched; // shared with the child
	Result<> create(const Plan &plan, const images::SharedMemory &object, const PageImage &pages);
	Result<> watch_over(const Plan &plan, size_t count);
	void add(int id);

	std::vector<int> made_;
	std::vector<int> marked_;
	Mapping watched_;
	pid_t child_ = 0;
};

// The calls that attach what an address space has of them, in an address space that is empty there.
void attach_segments(target::SyscallBatch &batch, const Plan &plan, const images::Memory &memory);

// Against this machine: what is in use here.
void check_segments(const Plan &plan, Findings &findings);

} // namespace bpfckpt::restore
