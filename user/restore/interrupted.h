/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Registers, and the system call that a thread was blocked in: it is entered again with what remains of its timeout,
// and the program sees neither EINTR nor a second timeout.
//
// A relative sleep that the kernel restarts by itself (-516, restart_syscall) needs a restart block. The thread makes
// one by sleeping: the stub runs the call with the remaining time and is interrupted at once. Nothing may sleep in it
// afterwards.
#pragma once

#include <optional>

#include <sys/user.h>

#include "images/task.pb.h"
#include "user/target/entry_watch.h"
#include "user/target/remote.h"
#include "user/target/socket_timeout.h"

namespace bpfckpt::restore {

// A timeout that the kernel reads from the program's memory at entry: it is lent what remains, and gets its own value
// back when the thread sleeps again.
struct LentTimeout {
	pid_t pid;
	pid_t tid;
	uint64_t address; // 0: that of a socket
	timespec original;
	int socket = -1; // in bpfckpt
	std::optional<target::ShortenedSocketTimeout> of_socket = std::nullopt;
	std::optional<target::EntryWatch> watch = std::nullopt; // from before detach() on
};

// What the thread goes on with. Sleeps in the stub if need be: after everything else that the thread does there.
// `file`: bpfckpt's descriptor for the file that the call is about, -1 if there is none.
Result<user_regs_struct> final_registers(target::Tracee &tracee, const images::Thread &thread, int file,
					 std::optional<LentTimeout> &lent);

// Extended registers, registers, rseq critical section, signal mask: the thread must not be resumed but by detach().
Result<> set_final_state(target::Tracee &tracee, const images::Thread &thread, const user_regs_struct &regs);

// Before detach().
void watch(LentTimeout &lent);
// After detach(), last lent first: waits until the thread sleeps in its call (or left it), then gives the timeout back.
void give_back(const LentTimeout &lent);

} // namespace bpfckpt::restore
