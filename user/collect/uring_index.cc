// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring_index.h"

#include "iterators/kernel_symbols.h"

namespace bpfckpt::collect {

namespace {

template <class Record>
void add_all(RecordsBy<Record> &by, std::span<const Record> records, __u64 Record::*key)
{
	for (const Record &record : records)
		by[record.*key].push_back(&record);
}

bool is_queued(const uring_request_record &record)
{
	return record.place == URING_PLACE_TASK_WORK || record.place == URING_PLACE_FALLBACK;
}

// Only where some work is queued: the symbols of the kernel are a long list.
std::unordered_map<uint64_t, std::string> queued_functions(std::span<const uring_request_record> requests)
{
	std::vector<uint64_t> addresses;
	for (const auto &record : requests)
		if (is_queued(record))
			addresses.push_back(record.task_work);
	// Without names (kptr_restrict) such requests are of unknown class, and say so.
	return iterators::kernel_symbols(addresses).value_or(std::unordered_map<uint64_t, std::string>());
}

} // namespace

UringIndex::UringIndex(const iterators::UringReader &reader_in, const iterators::KernelLayout &layout_in,
		       std::span<const file_record> files, const RingChecks &checks_in)
	: reader(reader_in), layout(layout_in), checks(checks_in), functions(queued_functions(reader_in.requests()))
{
	add_all(counts, reader.counts(), &uring_count_record::ring);
	add_all(attachments, reader.attachments(), &uring_attachment_record::ring);
	add_all(requests, reader.requests(), &uring_request_record::ring);
	add_all(fixed_files, reader.files(), &uring_file_record::ring);
	add_all(buffers, reader.buffers(), &uring_buffer_record::ring);
	add_all(personalities, reader.personalities(), &uring_personality_record::ring);
	add_all(groups, reader.groups(), &uring_group_record::ring);
	add_all(overflow, reader.overflow(), &uring_overflow_record::ring);
	add_all(pages, reader.pages(), &uring_page_record::ring);
	add_all(provided, reader.provided(), &uring_provided_record::list);
	add_all(blobs, reader.blobs(), &uring_blob_record::request);
	add_all(slots_by_file, reader.files(), &uring_file_record::file);
	for (const auto &record : reader.files())
		slots_by_node.emplace(record.node, &record);
	for (const auto &record : reader.tasks())
		tasks.emplace(record.tctx, &record);
	for (const auto &record : reader.attachments()) {
		tids.emplace(record.tctx, record.tid);
		own_creds.insert(record.cred);
	}
	for (const auto &record : reader.requests())
		running[record.tctx] += record.place == URING_PLACE_WQ_WORKER;
	for (const auto &record : reader.buffers())
		mapped_buffers[record.imu]++;
	for (const file_record &file : files) {
		if (file.kind == FILE_KIND_IO_URING)
			ring_files[file.private_data].push_back(&file);
		else if (file.kind == FILE_KIND_EVENTFD)
			eventfds.emplace(file.private_data, &file);
		else if (file.kind == FILE_KIND_REGULAR || file.kind == FILE_KIND_BLOCKDEV ||
			 file.kind == FILE_KIND_DIRECTORY)
			disk_files.insert(file.file);
	}
}

} // namespace bpfckpt::collect
