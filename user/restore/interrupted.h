/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Registers, and the system call that a thread was blocked in: it is entered again with what remains of its timeout,
// and the program sees neither EINTR nor a second timeout.
//
// A relative sleep that the kernel restarts by itself (-516, restart_syscall) needs a restart block. The thread makes
// one by sleeping: the stub runs the call with the remaining time and is interrupted at once. Nothing may sleep in it
// afterwards.
#pragma once

#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <sys/user.h>

#include "images/task.pb.h"
#include "user/target/entry_watch.h"
#include "user/target/lent_timespec.h"
#include "user/target/remote.h"
#include "user/target/socket_timeout.h"

namespace bpfckpt::restore {

// A thread that enters a call again of whose time a part is over, where the kernel reads that time when the call
// begins: in the program's memory, or a socket's.
struct RemainingTime {
	pid_t pid = 0;
	pid_t tid = 0;
	uint64_t address = 0; // 0: that of a socket
	int socket = -1;      // in bpfckpt
	uint32_t nr = 0;      // of the call
	int64_t remaining_ns = 0;
};

// Those places are lent what remains, and get their own value back when the threads sleep again. Threads that share one
// have the longest of what remains: none may end early.
class LentTimeouts {
public:
	void add(const RemainingTime &time);
	// While all threads are stopped.
	void lend();
	// After they were let go: waits until each is in its call (or left it). Takes no memory.
	void give_back() const;

private:
	// Whose memory and where, or else which socket and which of its two.
	using Key = std::tuple<pid_t, uint64_t, int, int>;
	struct Place {
		RemainingTime longest = {};
		std::vector<std::pair<pid_t, pid_t>> threads = {}; // pid and tid
		std::optional<target::LentTimespec> in_memory = std::nullopt;
		std::optional<target::ShortenedSocketTimeout> of_socket = std::nullopt;
		std::vector<target::EntryWatch> watches = {};
	};
	std::map<Key, Place> places_;
};

// What the thread goes on with. Sleeps in the stub if need be: after everything else that the thread does there.
// `file`: bpfckpt's descriptor for the file that the call is about, -1 if there is none.
Result<user_regs_struct> final_registers(target::Tracee &tracee, const images::Thread &thread, int file,
					 LentTimeouts &lent);

// Extended registers, registers, rseq critical section, signal mask: the thread must not be resumed but by detach().
Result<> set_final_state(target::Tracee &tracee, const images::Thread &thread, const user_regs_struct &regs);

} // namespace bpfckpt::restore
