/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// UringIndex: the records of UringReader by the object that they belong to.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "iterators/file_record.h"
#include "iterators/kernel_layout.h"
#include "iterators/uring_reader.h"
#include "user/collect/context.h"
#include "user/collect/fd_index.h"
#include "user/collect/uring.h"
#include "user/uring/workers.h"

namespace bpfckpt::collect {

template <class Record>
using RecordsBy = std::unordered_map<uint64_t, std::vector<const Record *>>;

struct UringIndex {
	const iterators::UringRecords &records;
	const iterators::KernelLayout &layout;
	const RingChecks &checks;
	const FdIndex &fds;

	// By struct io_ring_ctx.
	RecordsBy<uring_count_record> counts;
	RecordsBy<uring_attachment_record> attachments;
	RecordsBy<uring_request_record> requests;
	RecordsBy<uring_file_record> fixed_files;
	RecordsBy<uring_buffer_record> buffers;
	RecordsBy<uring_personality_record> personalities;
	RecordsBy<uring_group_record> groups;
	RecordsBy<uring_overflow_record> overflow;
	RecordsBy<file_record> ring_files;
	// By struct io_ring_ctx or io_buffer_list.
	RecordsBy<uring_page_record> pages;
	// By struct io_buffer_list, io_kiocb, io_uring_task, eventfd_ctx, io_mapped_ubuf.
	RecordsBy<uring_bvecs_record> bvecs;
	RecordsBy<uring_provided_record> provided;
	RecordsBy<uring_blob_record> blobs;
	std::unordered_map<uint64_t, const uring_task_record *> tasks;
	std::unordered_map<uint64_t, const file_record *> eventfds;
	std::unordered_map<uint64_t, unsigned> eventfd_rings; // how many rings have registered it
	// Fixed slots by io_rsrc_node, where the kernel has them, else by struct file.
	std::unordered_map<uint64_t, const uring_file_record *> slots_by_node;
	RecordsBy<uring_file_record> slots_by_file;
	std::unordered_map<uint64_t, unsigned> mapped_buffers; // how many slots have it
	// By struct io_uring_task: the thread that it belongs to; missing: it has left.
	std::unordered_map<uint64_t, uint32_t> tids;
	std::unordered_map<uint64_t, uint64_t> own_creds; // of those threads: struct cred
	// Requests that a worker of the thread (struct io_uring_task) executes now.
	std::unordered_map<uint64_t, uint32_t> running;
	std::unordered_map<uint64_t, const file_record *> files;
	uring::Workers workers;

	UringIndex(const iterators::UringRecords &records, const iterators::KernelLayout &layout,
		   std::span<const file_record> files, const FdIndex &fds, const RingChecks &checks);

	template <class Record>
	static std::span<const Record *const> of(const RecordsBy<Record> &records, uint64_t object)
	{
		auto it = records.find(object);
		return it == records.end() ? std::span<const Record *const>() : it->second;
	}
	[[nodiscard]] std::string_view function(uint64_t address) const
	{
		auto it = checks.functions.find(address);
		return it == checks.functions.end() ? std::string_view() : it->second;
	}
};

// Fills ring.in_flight, in_flight_count, complete and messages.
void collect_requests(const UringIndex &index, const uring_ring_record &record, const Context &context,
		      images::Ring &ring);

// Fills what is in the ring's own memory: layout, counters, CQEs, unsubmitted SQEs, and for a dump the bytes.
void collect_ring_memory(const UringIndex &index, const uring_ring_record &record, bool with_bytes, images::Ring &ring);

// Fills ring.buffers. `clones`: struct io_mapped_ubuf of those that are in several slots.
void collect_buffers(const UringIndex &index, const Context &context, uint64_t address, IdTable &clones,
		     images::Ring &ring);

// What the pages of one region hold.
std::string content_of_region(const UringIndex &index, uint64_t owner, uring_region region, size_t size);

// Says what of the ring no restore knows yet: Ring.unsupported, and a finding for each.
void refuse_unsupported(const uring_ring_record &record, const RingChecks &checks,
			const iterators::KernelLayout &layout, Context &context, images::Ring &ring);

} // namespace bpfckpt::collect
