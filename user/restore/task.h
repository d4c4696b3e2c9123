/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What belongs to a whole process (struct task_struct of the leader, signal_struct, fs_struct).
#pragma once

#include "user/restore/tree.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

// By the leader, before its credentials. Limits come last: they may forbid what restore does.
// `first_of_fs`: no process that shares its root, working directory and umask has got them yet.
void add_process_attributes(target::SyscallBatch &batch, const images::Process &process, bool first_of_fs);
// RLIMIT_SIGPENDING is not lowered yet: signals are still to be queued.
void add_limits(target::SyscallBatch &batch, const images::Process &process);
// Once the queues of all threads are filled: RLIMIT_SIGPENDING, if it is to be lowered, which needs no privilege.
void add_signal_limit(target::SyscallBatch &batch, const images::Process &process);
// After the credentials, whose change resets it.
void add_dumpable(target::SyscallBatch &batch, const images::Process &process);
// F_SETOWN records who asks: with the final credentials.
void add_file_owners(target::SyscallBatch &batch, const Plan &plan, const images::Process &process);
// While the descriptor table is empty.
Result<> restore_login_uid(Member &member);
// From outside: oom_score_adj and coredump_filter.
Result<> write_proc_settings(const Member &member);

} // namespace bpfckpt::restore
