/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Open file descriptions: File messages, and the fd lists of the processes.
#pragma once

#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/collect/fd_index.h"
#include "user/collect/unlinked.h"

namespace bpfckpt::collect {

// Adds a File for every struct file that was described (those with an id in ctx.ids.files keep it), and fills
// Process.files of the processes that are in the document by their pid. What dump cannot carry over is a finding.
void collect_files(const iterators::FileRecords &records, const Unlinked &unlinked, Context &ctx);

// Process.files of one that has none yet.
void collect_fds(const FdIndex &fds, const Context &ctx, images::Process &process);

} // namespace bpfckpt::collect
