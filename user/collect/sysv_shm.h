/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// System V shared memory segments that the tree has attached: what belongs to them besides their content, which is that
// of a memory object (SharedMemory). Their id is the number of the inode that is mapped (ipc/shm.c: newseg()).
#pragma once

#include "iterators/vma_reader.h"
#include "user/collect/context.h"
#include "user/util/sysv_shm.h"

namespace bpfckpt::collect {

class SysvSegments {
public:
	// While the tree is stopped. A tree without segments pays for a look at its mappings.
	Result<> capture(const iterators::VmaRecords &vmas);
	// After collect_memory(): fills SharedMemory.sysv. What is not in the list is another namespace's: a finding.
	void add_to(Context &context) const;

private:
	std::vector<SysvSegment> segments_;
};

} // namespace bpfckpt::collect
