/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Snapshot: the kernel state of a process tree, read in one sequence of BPF passes and turned into a Document
// afterwards.
//
// The order follows what leads to what: tasks -> fd tables and mappings -> struct files -> rings -> the struct files
// that only rings hold. load() and attach() come before the freeze, capture() inside it and does nothing but passes,
// build() after the thaw. inspect and check run the same sequence on a live tree.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <sys/types.h>

#include "iterators/file_reader.h"
#include "iterators/page_frames.h"
#include "iterators/task_reader.h"
#include "iterators/timer_reader.h"
#include "iterators/uring_reader.h"
#include "iterators/vma_reader.h"
#include "user/collect/contents.h"
#include "user/collect/context.h"
#include "user/collect/loose_pages.h"
#include "user/collect/named_files.h"
#include "user/collect/own_mounts.h"
#include "user/collect/socket_options.h"
#include "user/collect/sysv_shm.h"
#include "user/collect/task.h"
#include "user/collect/unlinked.h"
#include "user/collect/uring.h"
#include "user/collect/whole_process.h"
#include "user/memory/page_transfer.h"
#include "user/target/frozen_tree.h"
#include "user/uring/drain.h"
#include "user/uring/stale_mappings.h"
#include "user/util/result.h"

namespace bpfckpt::collect {

class Snapshot {
public:
	// Loads the BPF objects, several at a time; those for rings come with the first ring that capture() finds.
	// Errors: those of BpfObject::load().
	// `processes`: how many will be attached, so that the first capture() finds room for the records of each.
	static Result<Snapshot> load(size_t processes = 1);

	// The processes of the tree, by one pass over all tasks; zombies too. Errors: kGone.
	Result<std::vector<pid_t>> find_tree(pid_t root);

	// The processes that capture() reads; replaces those of an earlier call.
	Result<> attach(std::span<const pid_t> pids);

	// Reads everything. A map that turns out too small is made larger and the sequence is run again: run it once on
	// the live tree, so that this does not happen inside the freeze.
	Result<> capture();
	// Of that only what tasks() tells.
	Result<> capture_tasks() { return tasks_->run(); }
	// Inside the freeze, after capture(): reads the rings again until nothing is in flight that cannot be submitted
	// again, and nothing is missing. Errors: those of uring::drain().
	Result<uring::DrainReport> drain(uring::DrainMode mode, std::chrono::milliseconds limit,
					 target::FrozenTree &tree, const MayGoOn &may_go_on);

	// Before the freeze, after capture(): loads what read_loose_pages() may need inside of it.
	Result<> prepare_pages();

	// On a running tree, after capture(): looks again until what the rings show is whole, and notes the rings in
	// which something stays that a dump would wait for.
	Result<> observe_rings();

	// Inside the freeze, after capture(): whether names still lead to the files that are open.
	void look_at_names() { names_.look(*files_, mounts_.now()); }

	// Inside the freeze, after capture() and drain(): the content of pages that neither a mapping nor a descriptor
	// leads to. Where that cannot be done build() has findings.
	Result<> read_loose_pages();
	// Inside the freeze, after capture() and drain(): what pipes and unix sockets hold.
	Result<Contents> read_contents();
	[[nodiscard]] memory::LooseBytes loose_pages() const { return {ring_checks_.loose.bytes(), hidden_objects_}; }

	// After capture(): the address of the struct io_uring_reg_wait that a thread waits with; 0: its memory does not
	// have it.
	[[nodiscard]] uint64_t wait_argument(pid_t tid, const images::InterruptedSyscall &call) const;

	// Records to messages. `pages`: what was copied; NULL: nothing was (inspect).
	Result<> build(const memory::PageDump *pages, Context &context);

	// After build(), with what it was given: what Context.lean left out. `tree`: NULL of a live one.
	[[nodiscard]] WholeProcesses whole_processes(const target::FrozenTree *tree, Context &context) const
	{
		return {tasks_->records(), files_->fds(), paths_, tree, context};
	}

	// Objects whose content only lives as long as they are open: memfds, files that have no name any more.
	[[nodiscard]] std::vector<memory::SharedObject> shared_objects() const;

	[[nodiscard]] iterators::FileReader &files() { return *files_; }
	[[nodiscard]] iterators::UringReader &rings() { return *rings_; }
	[[nodiscard]] iterators::VmaReader &vmas() { return *vmas_; }
	[[nodiscard]] iterators::TaskReader &tasks() { return *tasks_; }
	[[nodiscard]] const CaptureTime &time() const { return time_; }

private:
	Result<> capture_once();
	Result<> capture_rings();
	Result<> grow();
	template <class Step>
	auto with_room(Step step) -> decltype(step());
	Result<> load_layout();
	Result<> look_at_pages();
	// That no descriptor and no mapping leads to, by struct inode.
	[[nodiscard]] std::unordered_map<uint64_t, const file_record *> hidden_files() const;
	Result<> find_hidden_objects();
	[[nodiscard]] memory::SharedObject object_of(const file_record &file) const;
	void learn_frames();
	Result<> load_page_reader();
	Result<> load_queue_reader();
	[[nodiscard]] bool has_hidden_queues() const;
	[[nodiscard]] bool is_disk(uint64_t file) const;
	[[nodiscard]] std::vector<uint64_t> ring_addresses() const;
	[[nodiscard]] std::vector<uint64_t> files_of_tasks() const;
	void find_stale_mappings();
	void add_stale_objects(Context &context) const;
	void add_stale_object(const uring::StaleMapping &mapping, Context &context) const;
	void mark_stale_mappings(images::Memory &memory, const Context &context) const;
	[[nodiscard]] std::unordered_set<uint64_t> ring_files() const;
	[[nodiscard]] std::unordered_set<uint32_t> ring_holders() const;
	[[nodiscard]] std::unordered_set<uint32_t> ring_memory(const Context &context) const;
	[[nodiscard]] std::unordered_map<uint32_t, uint32_t> rings_by_file(const Context &context) const;
	static void link_rings(const std::unordered_map<uint32_t, uint32_t> &ring_of_file, Context &context);
	[[nodiscard]] bool are_vmas_asked_for() const;

	std::optional<iterators::TaskReader> tasks_;
	std::optional<iterators::TimerReader> timers_;
	std::optional<iterators::FileReader> files_;
	std::optional<iterators::VmaReader> vmas_;
	std::optional<iterators::UringReader> rings_;
	std::vector<unsigned> pids_;
	std::vector<ProcessPaths> paths_;
	Unlinked unlinked_;
	SocketOptions socket_options_;
	OwnMounts mounts_;
	NamedFiles names_;
	SysvSegments segments_;
	std::optional<iterators::KernelLayout> layout_;      // once there was a ring
	std::optional<iterators::PageFrames> frames_;        // once a ring had pinned memory
	std::optional<iterators::PageReader> page_reader_;   // once pages may be found that are not where they were
	std::optional<iterators::QueueReader> queue_reader_; // once only rings hold pipes or unix sockets
	RingChecks ring_checks_;
	std::vector<uring::StaleMapping> stale_mappings_;
	std::vector<memory::SharedPages> hidden_objects_; // offsets are those in ring_checks_.loose
	CaptureTime time_;
};

} // namespace bpfckpt::collect
