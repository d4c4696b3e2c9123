/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Names of the system calls that bpfckpt executes in tracees, and of those in which programs wait.
#pragma once

#include <string>

namespace bpfckpt::target {

// "mmap", or "system call 999".
[[nodiscard]] std::string syscall_name(long nr);

} // namespace bpfckpt::target
