/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Address spaces and shared memory: vma_record, mm_record and page runs -> images/memory.proto.
#pragma once

#include "iterators/vma_reader.h"
#include "user/collect/context.h"
#include "user/memory/page_transfer.h"

namespace bpfckpt::collect {

// After the files: ctx.ids.files is looked up, and a path is taken from Document.files. `pages` is null for inspect.
// Errors: those of ctx.take_memory.
Result<> collect_memory(const iterators::VmaRecords &vmas, const memory::PageDump *pages, Context &ctx);

// MemoryTotals.resident_bytes, of a tree that is there.
void collect_resident_bytes(Context &ctx);

} // namespace bpfckpt::collect
