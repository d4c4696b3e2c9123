// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/spare_pids.h"

#include <algorithm>
#include <cstdlib>

#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::restore {

// From the end of the numbers that a small kernel.pid_max leaves: those are given out last.
void SparePids::begin()
{
	constexpr pid_t kHighest = 32700;
	Result<std::string> max = read_file("/proc/sys/kernel/pid_max");
	int end = max ? std::atoi(max->c_str()) : 0;
	next_ = end > 1 ? std::min(end - 1, kHighest) : kHighest;
	wanted_ = wanted_ids(plan_);
}

Result<pid_t> SparePids::next()
{
	if (!next_)
		begin();
	for (; next_ > 1; next_--)
		if (!wanted_.contains(next_) && ::access(fmt::format("/proc/{}", next_).c_str(), F_OK) < 0)
			return next_--;
	return Error(Code::kLimit, "no PID is left for a process that helps to build the tree")
		.with_hint("end processes, or restore in a new PID namespace (unshare --pid --fork --mount-proc)");
}

} // namespace bpfckpt::restore
