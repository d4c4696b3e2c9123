/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The vDSO of another kernel. Programs keep pointers to its functions, so its ELF file stays where it was, as a copy in
// which each function is a jump to that of the kernel here, whose vDSO is mapped elsewhere. Who was inside at the dump
// comes out of it before, instruction by instruction, with the clock of the dump.
#pragma once

#include <span>
#include <string>

#include "user/restore/pages.h"
#include "user/restore/tree.h"

namespace bpfckpt::restore {

// `then` with jumps to `now`, mapped at `address`. Pure. Errors: kMismatch (a function that `now` lacks), kCorrupt.
Result<std::string> redirect_vdso(std::span<const std::byte> then, std::span<const std::byte> now, uint64_t address);

// Once the memory of the process has its content, and its code may still be made executable. Notes in `member` where
// threads have come out of the old vDSO.
Result<> restore_other_vdso(Member &member, const images::Memory &memory, const PageImage &pages);

} // namespace bpfckpt::restore
