/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Address spaces (struct mm_struct): mappings, their pages and flags, and the fields of the mm itself.
#pragma once

#include "user/restore/file.h"
#include "user/restore/pages.h"

namespace bpfckpt::restore {

// For a process that has nothing but the stub and member.mapped, and no descriptor yet; leaves it without descriptors.
Result<> restore_memory(Member &member, const images::Memory &memory, const OpenFiles &files, const PageImage &pages);

// madvise(2) for a mapping that is there.
void add_advice(target::SyscallBatch &batch, const images::Vma &vma);
// Some mappings, and some of their pages, so that a child gets them by fork; noted in `member`. Both are sorted.
Result<> restore_memory_early(Member &member, const images::Memory &memory, std::span<const images::Vma *const> vmas,
			      std::span<const memory::Range> ranges, const OpenFiles &files, const PageImage &pages);

} // namespace bpfckpt::restore
