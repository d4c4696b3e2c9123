/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A memory object that has no path: memfd, shared anonymous or SysV memory (mm/shmem.c), a deleted regular file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "user/memory/range.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::memory {

struct SharedObject {
	uint64_t inode = 0;  // struct inode: the identity
	uint64_t device = 0; // st_dev
	uint64_t ino = 0;
	uint64_t size = 0;
	pid_t pid = 0;
	int fd = -1;      // open as this descriptor of `pid`,
	Range mapping;    // or mapped there
	std::string name; // "/memfd:x", "/dev/zero"
};

// A description of our own, for reading. Errors: kPermission without CAP_CHECKPOINT_RESTORE for what is only mapped.
Result<UniqueFd> open_object(const SharedObject &object);

// The ranges of pages that hold data: what is missing was never written, whoever maps it.
Result<std::vector<Range>> find_data(int fd);

} // namespace bpfckpt::memory
