/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// UringReader: all of a set of io_uring instances, read from kernel memory in one go.
//
// load() before the freeze, run() inside it, the spans and the proof afterwards: when_needed() and a run() on the live
// tree do for load(), and cost nothing where there are no rings. Rings are given by address: private_data of a struct
// file whose kind is io_uring, wherever that file was found.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "iterators/uring_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

// How many records of each kind there is room for.
struct UringCapacity {
	uint32_t rings = 64;
	uint32_t attachments = 256;
	uint32_t tasks = 128;
	uint32_t requests = 2048;
	uint32_t files = 1024;
	uint32_t buffers = 256;
	uint32_t bvecs = 256; // chunks of URING_BVEC_CHUNK
	uint32_t personalities = 32;
	uint32_t credential_groups = 32; // chunks of TASK_GROUP_CHUNK supplementary groups
	uint32_t groups = 64;
	uint32_t provided = 1024;
	uint32_t overflow = 256;
	uint32_t blobs = 512;
	uint32_t pages = 512;
	uint32_t regions = 64; // chunks of URING_REGION_CHUNK pages

	// Room for both, and some more for what is added meanwhile.
	[[nodiscard]] UringCapacity grown_to(const UringCapacity &needed) const;
};

// All that one round has read: views of the maps, valid until the next one.
struct UringRecords {
	std::span<const uring_ring_record> rings;
	std::span<const uring_count_record> counts; // all before the walk, then all after it
	std::span<const uring_attachment_record> attachments;
	std::span<const uring_task_record> tasks;
	std::span<const uring_request_record> requests; // a request may appear more than once
	std::span<const uring_file_record> files;
	std::span<const uring_buffer_record> buffers;
	std::span<const uring_bvecs_record> bvecs; // those of a buffer in order
	std::span<const uring_personality_record> personalities;
	std::span<const group_record> credential_groups; // of personalities
	std::span<const uring_group_record> groups;
	std::span<const uring_provided_record> provided;
	std::span<const uring_overflow_record> overflow;
	std::span<const uring_blob_record> blobs;
	std::span<const uring_page_record> pages;
	std::span<const uring_region_record> regions; // those of a region in order
	unsigned cpu_count = 0; // nr_cpu_ids: bits of uring_task_record.affinity beyond it mean nothing
	bool truncated = false; // a list of requests did not end, or one was no longer there: this is no snapshot
};

class UringReader {
public:
	// Loads the BPF objects. Errors: those of BpfObject::load().
	static Result<UringReader> load(const UringCapacity &capacity = {});
	// The first run() that is given a ring loads them: a third of what the verifier does for all objects of
	// bpfckpt.
	static UringReader when_needed();
	[[nodiscard]] bool is_loaded() const { return objects_ != nullptr; }
	UringReader(UringReader &&) noexcept;
	UringReader &operator=(UringReader &&) noexcept;
	~UringReader();

	// Reads these instances (struct io_ring_ctx), each once however often it is named. Errors: kLimit when a map is
	// full; then load() anew with needed(). Those of load(), if nothing is loaded yet; those of `next`, which is
	// called as soon as what is registered has been read, by another thread than that which still reads requests
	// where there were many the last time.
	Result<> run(std::span<const uint64_t> rings, const std::function<Result<>()> &next = {});
	// What the last run() would have needed.
	[[nodiscard]] UringCapacity needed() const;

	[[nodiscard]] UringRecords records() const;

	// struct file of every fixed slot, of every request, as often as it is there: for FileReader::describe().
	[[nodiscard]] std::vector<uint64_t> registered_files() const;
	[[nodiscard]] std::vector<uint64_t> files_of_requests() const;

private:
	struct Objects;
	explicit UringReader(std::unique_ptr<Objects> objects);
	std::unique_ptr<Objects> objects_; // NULL: nobody has asked for a ring yet
	uint32_t wanted_rings_ = 0;
};

} // namespace bpfckpt::iterators
