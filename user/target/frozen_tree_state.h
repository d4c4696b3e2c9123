/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What FrozenTree consists of; shared by its three parts: finding (frozen_tree.cc), freeze.cc and release.cc.
#pragma once

#include <array>
#include <ctime>
#include <map>
#include <unordered_set>
#include <vector>

#include "user/target/frozen_tree.h"
#include "user/target/packed_xstate.h"

namespace bpfckpt::target {

struct TaskStat;

struct FrozenTree::State {
	FreezeOptions options;
	std::vector<FrozenProcess> processes;
	std::unordered_set<pid_t> known_tids;
	std::vector<pid_t>
		auto_attached;     // made while their parents were seized; known_tids has those that stayed in the tree
	std::vector<pid_t> ending; // killed while they were stopped, and not gone yet
	XstateArena xstates;
	FreezeStats stats;
	std::array<int64_t, 16> time_at_freeze{}; // by clockid_t
	bool frozen = false;
	bool changed = false;
	bool deadlines_known = false;
	Clock::time_point frozen_at;
	std::map<pid_t, ReturnPath> return_paths; // by process

	Result<> add_process(pid_t pid, const TaskStat &stat);
	// Adds the tasks that /proc shows and we do not know; says how many.
	Result<size_t> add_new_tasks();
	Result<> wait_for_vforks();
	Result<> check_may_signal() const;
	Result<> freeze();
	Result<> check_root();
	Result<> thaw();
	Result<> kill();
	Result<> leave_stopped();
	bool reap_killed(const FrozenThread &thread, Clock::time_point deadline);
	void release();
	void take_ends();
	void give_up(FrozenThread &thread);
	void resolve_deadlines();
	void resume_timeouts();

	struct StoppedThread {
		FrozenProcess *process;
		FrozenThread *thread;
	};
	// Errors: kGone.
	Result<StoppedThread> stopped_thread(pid_t tid, images::Thread::Role role);
	// Looked for once. Errors: those of find_return_path().
	Result<const ReturnPath *> return_path(pid_t pid);

	FrozenProcess *process_of(pid_t pid);
	template <class Function>
	void for_each_thread(Function function)
	{
		for (FrozenProcess &process : processes)
			for (FrozenThread &thread : process.threads)
				function(process, thread);
	}

private:
	void forget_unheld(FrozenProcess *process);
	Result<size_t> add_new_threads(FrozenProcess *process);
	Result<size_t> add_new_children();
	Result<> stop_everything(Clock::time_point deadline);
	void note_time();
	void abandon();
	Result<> seize_one(const FrozenProcess &process, FrozenThread *thread);
	Result<> seize_new();
	Result<> interrupt_and_wait(images::Thread::Role role, Clock::time_point deadline);
	Result<> wait_until_stopped(FrozenProcess *process, FrozenThread *thread, Clock::time_point deadline);
	Result<> on_tick(FrozenProcess *process, FrozenThread *thread, Clock::time_point deadline);
	Result<> capture(const FrozenProcess &process, FrozenThread *thread, bool stopped_by_us);
	void let_vfork_child_go(pid_t parent);
	bool recheck_stops(bool leaders_only);
	void drop_gone();
	[[nodiscard]] bool anything_running();
	Error stuck(const FrozenProcess &process, const FrozenThread &thread) const;

	bool abandoned_ = false;
	bool lost_threads_ = false; // one of them exited or called execve(2) while we waited
};

// Nanoseconds now on a clock that an hrtimer can be on.
int64_t now_on(uint32_t clock);

} // namespace bpfckpt::target
