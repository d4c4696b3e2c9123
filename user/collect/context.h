/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the collectors share: the document they fill, the ids of shared kernel objects, the findings, and the time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::collect {

// Kernel address -> small number, in order of first use, from 1. 0 stands for NULL.
class IdTable {
public:
	uint32_t id_of(uint64_t address)
	{
		if (!address)
			return 0;
		return ids_.try_emplace(address, static_cast<uint32_t>(ids_.size() + 1)).first->second;
	}
	// 0 if it was never given an id.
	[[nodiscard]] uint32_t find(uint64_t address) const
	{
		auto it = ids_.find(address);
		return it == ids_.end() ? 0 : it->second;
	}
	// Of something that has no address here: none is below the first page.
	uint32_t fresh() { return id_of(++nameless_); }
	[[nodiscard]] const std::unordered_map<uint64_t, uint32_t> &all() const { return ids_; }

private:
	uint64_t nameless_ = 0;
	std::unordered_map<uint64_t, uint32_t> ids_;
};

// One table per kernel type; an address never leaves it.
struct Ids {
	IdTable files;          // struct file            -> File.id
	IdTable inodes;         // struct inode           -> File.object
	IdTable fd_tables;      // struct files_struct    -> Process.fd_table
	IdTable fs;             // struct fs_struct       -> Process.fs
	IdTable address_spaces; // struct mm_struct       -> Memory.id
	IdTable sighands;       // struct sighand_struct  -> Process.sighand
	IdTable rings;          // struct io_ring_ctx     -> Ring.id
	IdTable shared_memory;  // inode of the object    -> SharedMemory.id

	std::unordered_map<uint64_t, uint32_t> processes; // struct signal_struct -> Process.pid
};

// Clocks at the capture, taken once.
struct CaptureTime {
	int64_t realtime_ns = 0;
	int64_t monotonic_ns = 0;
	int64_t boottime_ns = 0;
	int64_t tai_ns = 0;

	static CaptureTime now();
	// Nanoseconds now on a clockid_t that an hrtimer base has (REALTIME, MONOTONIC, BOOTTIME, TAI and their ALARM
	// kin).
	[[nodiscard]] int64_t on(uint32_t clock_id) const;
};

// The thread of a process whose files under /proc tell what the process has: the leader, or one that has outlived it.
uint32_t living_tid(const images::Process &process);

// Where the code of the vDSO is in an address space.
struct VdsoPlace {
	uint32_t memory = 0; // Memory.id
	uint64_t start = 0;
	uint64_t end = 0;
};

struct Context {
	images::Document *document = nullptr;
	Ids ids;
	Findings findings;
	CaptureTime time;
	std::unordered_set<uint64_t> own_namespaces;             // inodes; nsfs numbers are unique among all types
	std::unordered_map<uint32_t, uint32_t> mappings_of_file; // File.id -> how many there are
	// Takes an address space as soon as its message is whole, so that those of thousands of processes are not there
	// at once; what is left of it is its id in the document, and where its vDSO is. Absent: all stay.
	std::function<Result<>(const images::Memory &)> take_memory;
	std::vector<VdsoPlace> vdsos; // of those that were taken
	// Memory.id of those of which more stays: rings are about them in more than one way, which is found out later.
	// The others leave what shared memory they map. Absent: there are no rings.
	std::optional<std::unordered_set<uint32_t>> ring_memory;
	// What rings have to do with the mappings of an address space, before it is taken.
	std::function<void(images::Memory &)> add_rings;
	// The document has of processes and threads only what concerns others: their rest is made from the records when
	// they are written (whole_process.h). The threads of those that have to do with rings are whole.
	bool lean = false;
	std::unordered_set<uint32_t> ring_users; // Process.pid
	bool live = false; // the target was not stopped: small contradictions are races, not losses

	// State that a dump cannot carry over.
	void refuse(std::string object, std::string message, std::string hint)
	{
		Error error(Code::kUnsupported, std::move(message));
		findings.push_back(std::move(error).on(std::move(object)).with_hint(std::move(hint)));
	}
};

} // namespace bpfckpt::collect
