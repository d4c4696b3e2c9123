/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// MountTable: from a place in a file system to a path, by /proc/PID/mountinfo (fs/proc_namespace.c: show_mountinfo()).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt::collect {

class MountTable {
public:
	static Result<MountTable> of_process(unsigned pid);
	static MountTable parse(std::string_view mountinfo);

	// Paths under which `path`, relative to the root of the file system on `device` (as in st_dev), may be seen;
	// those of the mounts nearest to it first.
	[[nodiscard]] std::vector<std::string> paths_of(uint64_t device, std::string_view path) const;

private:
	struct Mount {
		uint64_t device = 0;
		std::string root;
		std::string point;
	};
	std::vector<Mount> mounts_;
};

} // namespace bpfckpt::collect
