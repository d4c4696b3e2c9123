/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Signalfds (fs/signalfd.c: struct signalfd_ctx) that requests of rings wait on.
//
// Such a request is woken by any signal of its process, and takes what the mask has. While a process is restored it
// gets signals that are none of the program's: SIGTRAP at the end of each batch, SIGCHLD of helpers and of children
// that are stopped. So the mask is empty until no such signal can come any more.
#pragma once

#include "user/restore/plan.h"
#include "user/restore/tree.h"
#include "user/uring/holders.h"

namespace bpfckpt::restore {

// Fills plan.late_signalfds.
void find_late_signalfds(const uring::RingHolders &holders, Plan &plan);

// By the process that waits, which wakes who waits there (fs/signalfd.c: do_signalfd4()): they look for what is pending
// by now. The leader stops at the exit of a system call.
Result<> set_signalfd_masks(Member &member, const Plan &plan);

} // namespace bpfckpt::restore
