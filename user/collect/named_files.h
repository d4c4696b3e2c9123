/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Files that restore will open by their names: whether the name leads to the file that is open. A directory on the way
// may be covered by another mount, or have been replaced on a server; a dentry alone does not know.
#pragma once

#include <cstdint>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/collect/mount_table.h"

namespace bpfckpt::collect {

class NamedFiles {
public:
	// While the tree is stopped: a name that is looked up later may have been changed by the tree itself. Only on
	// file systems that answer without the help of a process, which might be one of those that are stopped.
	void look(const iterators::FileReader &reader, const MountTable &mounts);
	void add_to(Context &context) const;

private:
	struct Astray {
		uint64_t file;
		int error; // of lstat(2); 0: another inode
	};
	std::vector<Astray> astray_;
};

} // namespace bpfckpt::collect
