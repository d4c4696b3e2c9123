/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// MountTable: from a place in a file system to a path, and what is on the way to a path, by /proc/PID/mountinfo
// (fs/proc_namespace.c: show_mountinfo()). Nothing of it asks a file system, whose server may be a process that is
// stopped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "user/util/result.h"

namespace bpfckpt::collect {

// Whether files of a file system of this type are looked up without the help of a server.
bool answers_by_itself(std::string_view filesystem);

class MountTable {
public:
	static Result<MountTable> of_process(unsigned pid);
	static MountTable parse(std::string_view mountinfo);

	// Paths under which `path`, relative to the root of the file system on `device` (as in st_dev), may be seen;
	// those of the mounts nearest to it first.
	[[nodiscard]] std::vector<std::string> paths_of(uint64_t device, std::string_view path) const;

	struct Way {
		uint64_t mount = 0; // as statx(2) tells it (STATX_MNT_ID); 0: none of the table
		std::string_view filesystem;
		bool local = true; // all file systems on the way do so, or are the kernel's own
	};
	// What the lookup of an absolute path without symbolic links goes through, and ends in. As long as the table.
	[[nodiscard]] Way way_to(std::string_view path) const;
	// Way.local, which for most paths is known at once.
	[[nodiscard]] bool is_local(std::string_view path) const;

private:
	struct Mount {
		uint64_t id = 0;
		uint64_t parent = 0;
		uint64_t device = 0;
		std::string root;
		std::string point;
		std::string filesystem;
		bool local = false;
	};
	void find_tops();
	[[nodiscard]] const Mount *next_on(std::string_view path, uint64_t from) const;

	std::vector<Mount> mounts_;
};

} // namespace bpfckpt::collect
