/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageFill: pages of the page image written into a process that is being rebuilt, by several threads at once.
#pragma once

#include <sys/types.h>

#include "user/memory/chunk_queue.h"

namespace bpfckpt::memory {

class PageFill {
public:
	// Plans to write `range` of the process with the bytes at `offset` of the image.
	void add(Range range, uint64_t offset) { queue_.add({.range = range, .offset = offset}); }

	// The memory must be mapped and writable. Errors: the address that cannot be written; Code::kCorrupt at an
	// early end of the image.
	Result<> run(int image, pid_t pid);

private:
	ChunkQueue queue_;
};

} // namespace bpfckpt::memory
