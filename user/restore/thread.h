/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What belongs to one thread (struct task_struct), its registers apart.
#pragma once

#include "images/task.pb.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

// By the thread itself: credentials among them, so that nothing that needs a privilege may follow.
void add_thread_attributes(target::SyscallBatch &batch, const images::Thread &thread);
// By the leader, before any alternate stack: the kernel lets a process use AMX tiles when it asks.
void add_tile_permission(target::SyscallBatch &batch, const images::Process &process);
// The thread uses its tiles, so that the kernel makes room for them: their values can only be set afterwards.
Result<> prepare_tiles(target::Tracee &tracee, const images::Thread &thread);
// Scheduling, from outside.
Result<> set_scheduling(pid_t tid, const images::Scheduling &scheduling);

} // namespace bpfckpt::restore
