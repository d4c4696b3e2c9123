// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring_index.h"

namespace bpfckpt::collect {

namespace {

template <class Record>
void add_all(RecordsBy<Record> &by, std::span<const Record> records, __u64 Record::*key)
{
	for (const Record &record : records)
		by[record.*key].push_back(&record);
}

} // namespace

UringIndex::UringIndex(const iterators::UringRecords &records_in, const iterators::KernelLayout &layout_in,
		       std::span<const file_record> file_records, const FdIndex &fds_in, const RingChecks &checks_in)
	: records(records_in),
	  layout(layout_in),
	  checks(checks_in),
	  fds(fds_in),
	  workers(records, layout, checks.is_disk)
{
	add_all(counts, records.counts, &uring_count_record::ring);
	add_all(attachments, records.attachments, &uring_attachment_record::ring);
	add_all(requests, records.requests, &uring_request_record::ring);
	add_all(fixed_files, records.files, &uring_file_record::ring);
	add_all(buffers, records.buffers, &uring_buffer_record::ring);
	add_all(personalities, records.personalities, &uring_personality_record::ring);
	add_all(groups, records.groups, &uring_group_record::ring);
	add_all(overflow, records.overflow, &uring_overflow_record::ring);
	add_all(pages, records.pages, &uring_page_record::owner);
	add_all(provided, records.provided, &uring_provided_record::list);
	add_all(blobs, records.blobs, &uring_blob_record::request);
	add_all(bvecs, records.bvecs, &uring_bvecs_record::imu);
	add_all(slots_by_file, records.files, &uring_file_record::file);
	for (const auto &record : records.rings)
		eventfd_rings[record.eventfd_ctx]++;
	for (const auto &record : records.files)
		slots_by_node.emplace(record.node, &record);
	for (const auto &record : records.tasks)
		tasks.emplace(record.tctx, &record);
	for (const auto &record : records.attachments) {
		tids.emplace(record.tctx, record.tid);
		own_creds.emplace(record.tctx, record.cred);
	}
	for (const auto &record : records.requests)
		running[record.tctx] += record.place == URING_PLACE_WQ_WORKER;
	for (const auto &record : records.buffers)
		mapped_buffers[record.imu]++;
	for (const file_record &file : file_records) {
		files.emplace(file.file, &file);
		if (file.kind == FILE_KIND_IO_URING)
			ring_files[file.private_data].push_back(&file);
		else if (file.kind == FILE_KIND_EVENTFD)
			eventfds.emplace(file.private_data, &file);
	}
}

} // namespace bpfckpt::collect
