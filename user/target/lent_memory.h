/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Writing to memory of another process, also to what it cannot write itself: a timeout may be a constant. The page is
// copied for it, as for a debugger's breakpoint (mm/gup.c: FOLL_FORCE), and nobody sees that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/types.h>

namespace bpfckpt::target {

[[nodiscard]] bool read_lent(pid_t tid, uint64_t address, std::span<std::byte> bytes);

// False: nothing was written. Such memory is mapped shared, or this kernel lets only tracers write constants
// (proc_mem.force_override): what was lent could not be put back.
[[nodiscard]] bool write_lent(pid_t tid, uint64_t address, std::span<const std::byte> bytes);

} // namespace bpfckpt::target
