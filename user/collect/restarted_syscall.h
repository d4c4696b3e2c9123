/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Calls that the kernel is already restarting (restart_syscall(2)): a thread that was stopped twice in one sleep.
#pragma once

#include <span>

#include "iterators/task_record.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

// The registers of such a thread say restart_syscall; which call it is, only its restart block knows (struct
// restart_block, include/linux/restart_block.h). Puts the call in its place, so that restore can make a restart block
// anew. What cannot be told is a finding. After registers and deadlines are in the document.
void name_restarted_syscalls(std::span<const task_record> tasks, Context &context);

} // namespace bpfckpt::collect
