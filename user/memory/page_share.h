/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Private pages that fork(2) left shared between a process and its parent: the same frame at the same address. They are
// copied once, and restored by fork again.
#pragma once

#include <span>
#include <vector>

#include "user/memory/page_map.h"

namespace bpfckpt::memory {

// Those of `candidates`, pages that both have, for which both page tables name the same frame. Nothing without
// CAP_SYS_ADMIN, which hides the frames. Both are stopped.
Result<std::vector<Range>> shared_frames(PageMap &left, PageMap &right, std::span<const Range> candidates);

// Those of `pages` that other processes map too. process_vm_readv(2) pins what it reads, and pinning a page that fork
// left shared makes a copy of it in the target (mm/gup.c: gup_must_unshare()); a read of /proc/PID/mem does not.
Result<std::vector<Range>> frames_with_others(PageMap &map, std::span<const Range> pages);

} // namespace bpfckpt::memory
