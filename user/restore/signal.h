/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Signal actions (struct sighand_struct) and queues (struct sigpending).
#pragma once

#include "user/restore/plan.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

// All actions but that of SIGTRAP, which the stub's int3 would reset: restore_sigtrap() sets it when no int3 follows.
// Signals that came while the tree was built (SIGCHLD of helpers and zombies) are thrown away.
void add_signal_actions(target::SyscallBatch &batch, const images::Process &process);
Result<> restore_sigtrap(target::Tracee &leader, const images::Process &process);

// By the leader: only it may queue what the kernel or kill(2) had sent. After the actions: setting one to ignore
// flushes.
void add_pending_signals(target::SyscallBatch &batch, const images::Process &process);
// By the thread itself.
void add_pending_signals(target::SyscallBatch &batch, const images::Process &process, const images::Thread &thread);

} // namespace bpfckpt::restore
