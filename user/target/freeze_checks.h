/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What must not be frozen, or cannot be, found out before anything is touched.
#pragma once

#include <sys/types.h>

#include "user/target/tree_scan.h"
#include "user/util/result.h"

namespace bpfckpt::target {

// A process of user space, by the ID that it has here. Errors: kGone, kUsage (a kernel thread, a thread ID).
Result<TaskStat> find_process(pid_t root);

// Errors: kGone, kUsage (ourselves, an ancestor, a kernel thread, a thread ID), kBusy (traced), kPermission
// (CAP_SYS_PTRACE).
Result<> check_may_freeze(pid_t root);

} // namespace bpfckpt::target
