/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The first process of a tree under construction: a clone of bpfckpt itself that never runs its code, and is emptied at
// once.
#pragma once

#include "user/target/remote.h"
#include "user/util/result.h"

namespace bpfckpt::target {

// A hole of `size` bytes outside of `occupied` (sorted by address) and of the calling process. Errors: Code::kLimit.
Result<uint64_t> find_hole(std::span<const RemoteRange> occupied, uint64_t size);

// Mappings of a process, [vsyscall] left out.
Result<std::vector<RemoteRange>> mappings_of(pid_t pid);

// Clones the caller with `pid` (0: any), seizes the clone, and empties it: no memory but the stub's area, no
// descriptor, no handler, every signal blocked. The caller must not have other threads that hold locks.
// Errors: that of clone3(2) (EEXIST: the pid is in use) or ptrace(2). A failure leaves no process behind.
Result<Tracee> clone_stub_process(pid_t pid, int exit_signal, const StubLayout &stub);

// Kills a process and waits until it is gone; for what did not get as far as being detached.
void kill_and_reap(pid_t pid);

} // namespace bpfckpt::target
