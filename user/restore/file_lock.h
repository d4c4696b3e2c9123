/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Locks of files (struct file_lock): each is taken again by a process that had it. None waits: a lock that others have
// taken since the dump is a mismatch by name.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "user/restore/file.h"
#include "user/restore/plan.h"
#include "user/restore/tree.h"

namespace bpfckpt::restore {

// What others have locked meanwhile, as /proc/locks tells it.
void check_locks(const Plan &plan, Findings &findings);

class Locks {
public:
	// The plan outlives it.
	explicit Locks(const Plan &plan);

	// What `member` has locked itself (POSIX), and the locks of files (OFD, flock) that it is the first to have
	// open. Once its descriptors are installed, and when it closes none any more: any close gives up a process's
	// locks on that inode.
	Result<> take(Member &member) const;

	// Locks of files that only a ring has open.
	Result<> take_those_of_rings(const OpenFiles &files) const;

private:
	static constexpr uint32_t kNobody = ~0U;
	using Lock = std::pair<const images::File *, const images::FileLock *>;

	std::unordered_map<uint32_t, std::vector<Lock>> of_process_; // by PID of who takes them
};

} // namespace bpfckpt::restore
