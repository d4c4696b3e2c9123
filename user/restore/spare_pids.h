/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// SparePids: numbers for processes that help to build a tree and end before it runs. The kernel could choose them, but
// might take one that a process or thread of the tree is to get.
#pragma once

#include <unordered_set>

#include <sys/types.h>

#include "user/restore/plan.h"

namespace bpfckpt::restore {

class SparePids {
public:
	explicit SparePids(const Plan &plan) : plan_(plan) {}
	// Of no process, and wanted for none; another one with each call. clone3(2) may find it in use all the same
	// (EEXIST): as the group or session of processes whose leader is gone, or by who was faster. Errors: kLimit.
	Result<pid_t> next();

private:
	void begin();

	const Plan &plan_;
	std::unordered_set<pid_t> wanted_;
	pid_t next_ = 0; // 0: none was asked for yet
};

} // namespace bpfckpt::restore
