/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Paths of what inotify watches: the kernel keeps the inode only, so a path is one that leads to it now.
#pragma once

#include "iterators/file_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

// After collect_files(), while the tree is there: InotifyWatch.path.
void name_watches(const iterators::FileRecords &records, Context &context);

} // namespace bpfckpt::collect
