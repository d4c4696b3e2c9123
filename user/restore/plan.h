/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The plan of a restore: what is created where and in which order. Pure: it is made from the images alone and touches
// nothing. What images hold and restore cannot rebuild is a finding; check_machine() adds what this machine has against
// it. Only a plan without findings is carried out.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <sys/types.h>

#include "images/document.pb.h"
#include "images/manifest.pb.h"
#include "user/restore/timer_id.h"
#include "user/target/stub.h"
#include "user/uring/counters.h"
#include "user/uring/restorable.h"
#include "user/util/result.h"

namespace bpfckpt::restore {

struct TreeStep {
	enum Kind {
		kFork, // `pid` is created by `other`
		kSetsid,
		kSetpgid,  // `pid` enters group `other`, or leads it if they are equal
		kReaperOn, // `pid` takes in orphans, so that `other` can give it its children by ending
		kExit,     // a helper ends and is reaped by its parent `other`
	};
	Kind kind;
	pid_t pid; // below 0: a helper whose PID does not matter
	pid_t other = 0;
	bool helper = false; // kFork: not in the images; stands for a process that is gone
	uint64_t flags = 0;  // kFork: CLONE_FILES, CLONE_FS
};

// A ring, by whom it is set up, and how it gets its counters.
struct RingStep {
	const images::Ring *ring;
	uring::Maker maker;
	uring::CounterSteps counters;
	const images::Ring *attached_to = nullptr; // one made before, whose SQ thread it shares
};

struct Plan {
	const images::Document *document = nullptr;
	const images::Manifest *manifest = nullptr;
	pid_t root = 0;
	std::unordered_map<pid_t, const images::Process *> processes;
	std::unordered_map<uint32_t, const images::File *> files;
	std::unordered_map<uint32_t, const images::Memory *> memories;
	std::unordered_map<uint32_t, const images::SharedMemory *> shared_memories;
	std::unordered_map<uint32_t, const images::Ring *> rings;
	std::vector<const images::File *>
		open_files; // those that restore opens: not what only a kernel object of its own maps
	std::vector<TreeStep> tree;
	std::vector<RingStep> ring_steps;
	std::vector<target::RemoteRange> occupied; // by every address space of the tree
	size_t max_threads = 0;                    // of one process, the leader left out
	bool outer_session = false;                // the root was in a session from outside: it gets bpfckpt's
	const images::Vdso *other_vdso = nullptr;  // set by check_machine(): the kernel here has another one
	bool count_timer_ids = false;              // set by check_machine(): the kernel cannot be told an ID
	// File.id of those that requests wait on: PID of the process that they are of, see ring_signalfd.h.
	std::unordered_map<uint32_t, pid_t> late_signalfds = {};

	[[nodiscard]] const images::File *file(uint32_t id) const;
	[[nodiscard]] const images::Memory *memory_of(const images::Process &process) const;
};

// Errors: Code::kCorrupt where the images contradict themselves. What cannot be restored goes to `findings`.
Result<Plan> make_plan(const images::Document &document, const images::Manifest &manifest, Findings &findings);

struct MachineOptions {
	uint64_t timer_id_limit = kTimerIdLimit; // IDs to count, of all processes together
	bool count_timer_ids = false;            // as if the kernel lacked PR_TIMER_CREATE_RESTORE_IDS
	double ring_counter_seconds = 5;         // for the counters of all rings together
	uring::Rebase rebase = {};               // of those for which that is not enough
	bool compare_cpu = true;                 // refuse another set of extended registers
};

// Gives rings other counters, those first that take the longest, until all can be reached in time. `document` is that
// of the plan.
struct RebasedRing {
	const images::Ring *ring;
	uint32_t sq_head; // what they were
	uint32_t cq_tail;
};
std::vector<RebasedRing> rebase_rings(Plan &plan, images::Document &document, const MachineOptions &options);

// PIDs in use, files that changed or are gone, another vDSO or register layout, limits that would have to rise, timers
// on clocks or with IDs that are out of reach. Notes in the plan what the kernel lacks.
void check_machine(Plan &plan, const MachineOptions &options, Findings &findings);
// Seconds that the plan needs to count timer IDs.
double timer_id_seconds(const Plan &plan);
// The same for the counters of rings.
double ring_counter_seconds(const Plan &plan);

// PIDs and TIDs of the tree, and of processes that help to build it under a number of their own.
[[nodiscard]] std::unordered_set<pid_t> wanted_ids(const Plan &plan);
// Code::kMismatch, with the holder's name and a way round it. The check of all waits for zombies to be reaped.
[[nodiscard]] Error pid_in_use(pid_t pid);

// What --dry-run prints.
[[nodiscard]] std::string plan_text(const Plan &plan);

// What dump asks besides policy/: a shape of the tree that restore could not rebuild.
Findings find_tree_obstacles(const images::Document &document);

// Parts of make_plan(), a file each.
Result<> plan_tree(Plan &plan, Findings &findings);
Result<> plan_rings(Plan &plan, Findings &findings);
void check_support(const Plan &plan, Findings &findings);
void check_pids(const Plan &plan, Findings &findings);
void check_files(const Plan &plan, Findings &findings);
void check_vdso(Plan &plan, Findings &findings);
void check_timers(Plan &plan, const MachineOptions &options, Findings &findings);
void check_rings(const Plan &plan, const MachineOptions &options, Findings &findings);

[[nodiscard]] std::string name_of(const images::Process &process); // "pid 12 (nginx)"
// Features whose registers of the thread are not in their initial state: XSTATE_BV of the XSAVE header.
[[nodiscard]] uint64_t xstate_in_use(const images::Thread &thread);
inline constexpr uint64_t kXstateTileData = 1 << 18;
[[nodiscard]] inline bool is_user(const images::Thread &thread)
{
	return thread.role() == images::Thread::USER;
}

} // namespace bpfckpt::restore
