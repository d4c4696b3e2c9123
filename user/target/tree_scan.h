/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Threads and children of processes, as /proc lists them (fs/proc/array.c, base.c).
//
// A listing of running processes is a guess; it is complete once everything that it lists is stopped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "user/util/result.h"

namespace bpfckpt::target {

// The fields of /proc/PID/stat and /proc/PID/task/TID/stat that we need.
struct TaskStat {
	std::string comm;
	char state = '?';
	pid_t ppid = 0;
	uint64_t flags = 0; // PF_*
	unsigned num_threads = 0;
	uint64_t start_time = 0;
	bool killed = false; // SIGKILL waits for it: it runs on only to end

	[[nodiscard]] bool dead() const { return state == 'Z' || state == 'X'; }
	// PF_EXITING: about to.
	[[nodiscard]] bool ending() const { return dead() || killed || flags & 0x4; }
	[[nodiscard]] bool kernel_thread() const { return flags & 0x200000; } // PF_KTHREAD
	[[nodiscard]] bool io_worker() const { return flags & 0x10; }         // PF_IO_WORKER
	[[nodiscard]] bool user_worker() const { return flags & 0x4000; }     // PF_USER_WORKER (6.4), vhost
};

Result<TaskStat> read_task_stat(const std::string &path);
Result<TaskStat> read_thread_stat(pid_t pid, pid_t tid);

Result<std::vector<pid_t>> list_processes();
// Threads of a process, in the order of /proc: the leader first.
Result<std::vector<pid_t>> list_threads(pid_t pid);

struct ParentTasks {
	pid_t pid;
	std::vector<pid_t> tids;
};
// Children of all these processes, with their parent's pid, in whichever way is cheaper: per thread, or all of /proc.
struct ChildProcess {
	pid_t pid;
	pid_t ppid;
};
Result<std::vector<ChildProcess>> list_children(std::span<const ParentTasks> parents);

// Who traces a thread; 0: nobody.
Result<pid_t> tracer_of(pid_t tid);

// The thread is asleep in vfork(2) or its like, until its child execs or exits: nothing but SIGKILL wakes it.
bool inside_vfork(pid_t pid, pid_t tid);

// Where a thread sleeps: the first functions of its kernel stack, "do_wait <- kernel_wait4", or as little as can be
// read.
std::string kernel_stack(pid_t pid, pid_t tid);

} // namespace bpfckpt::target
