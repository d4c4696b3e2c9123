/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Files whose dentry is unhashed (unlink(2), rmdir(2), a rename over them): what makes them anew, or finds them again,
// and no record holds. Read inside the freeze, because it takes the target's descriptors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>

#include "images/file.pb.h"
#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/collect/task.h"

namespace bpfckpt::collect {

class Unlinked {
public:
	// After describe_fds(). Costs a look at each struct file where there are none. What cannot be read is left out.
	static Unlinked capture(const iterators::FileReader &reader);
	void add_to(const file_record &record, images::File &file) const;

private:
	std::unordered_map<uint64_t, images::FileHandle> handles_;         // struct file; the inode has other names
	std::unordered_map<uint64_t, std::string> targets_;                // struct file; of symbolic links
	std::unordered_map<uint64_t, images::InodeAttributes> attributes_; // struct file; memfds, too
};

// Process.cwd_file of those whose working directory was deleted; a File for it if no descriptor names that directory.
void collect_deleted_cwds(std::span<const ProcessPaths> paths, Context &context);

} // namespace bpfckpt::collect
