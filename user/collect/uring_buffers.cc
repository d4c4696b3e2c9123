// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Registered buffers (struct io_mapped_ubuf, io_uring/rsrc.h): where their pages are, and which of them are one.
#include "user/collect/uring_index.h"
#include "user/util/page.h"

namespace bpfckpt::collect {

namespace {

// Where one page is, as a run of its own.
images::PinnedRun run_of(const uring::PinnedPage &page, const UringIndex &index, const Context &context, uint64_t mm)
{
	images::PinnedRun run;
	run.set_start(page.address);
	run.set_length(kPageSize);
	if (page.mm && page.mm == mm)
		run.set_moved_to(page.moved_to);
	else if (page.inode)
		run.set_shared_memory(context.ids.shared_memory.find(page.inode));
	else if (auto place = index.checks.loose.find(page.page); place && page.is_cut_off())
		run.set_offset(index.checks.loose_offset + *place);
	if (run.shared_memory())
		run.set_object_offset(page.offset);
	return run;
}

// Whether `next` goes on where `run` ends, wherever that is.
bool goes_on(const images::PinnedRun &run, const images::PinnedRun &next)
{
	auto follows = [&](uint64_t from, uint64_t to) { return from ? to == from + run.length() : !to; };
	return next.start() == run.start() + run.length() && follows(run.moved_to(), next.moved_to()) &&
	       run.shared_memory() == next.shared_memory() &&
	       (!run.shared_memory() || next.object_offset() == run.object_offset() + run.length()) &&
	       run.has_offset() == next.has_offset() &&
	       (!run.has_offset() || next.offset() == run.offset() + run.length());
}

// Pages that have been moved tell whose they are, too.
uint64_t owner_of(const uring::BufferPlace &place)
{
	uint64_t mm = place.mm;
	for (const uring::PinnedPage &page : place.elsewhere)
		mm = mm ? mm : page.mm;
	return mm;
}

void add_place(const uring::BufferPlace &place, const UringIndex &index, const Context &context,
	       images::FixedBuffer &buffer)
{
	uint64_t mm = owner_of(place);
	buffer.set_pages_differ(!place.elsewhere.empty());
	buffer.set_address_space(context.ids.address_spaces.find(mm));
	for (const uring::PinnedPage &page : place.elsewhere) {
		images::PinnedRun run = run_of(page, index, context, mm);
		if (buffer.elsewhere_size() && goes_on(*buffer.elsewhere().rbegin(), run))
			buffer.mutable_elsewhere()->rbegin()->set_length(buffer.elsewhere().rbegin()->length() +
									 kPageSize);
		else
			*buffer.add_elsewhere() = run;
	}
}

} // namespace

void collect_buffers(const UringIndex &index, const Context &context, uint64_t address, IdTable &clones,
		     images::Ring &ring)
{
	for (const uring_buffer_record *record : UringIndex::of(index.buffers, address)) {
		images::FixedBuffer &buffer = *ring.add_buffers();
		unsigned slots = index.mapped_buffers.at(record->imu);
		buffer.set_slot(record->slot);
		buffer.set_address(record->address);
		buffer.set_length(record->length);
		buffer.set_tag(record->tag);
		buffer.set_kernel_buffer(record->kernel_buffer);
		buffer.set_shared(record->references > 1 || slots > 1);
		// A reference that no slot of the tree explains is that of a ring outside of it.
		if (slots > 1 && record->references <= slots)
			buffer.set_object(clones.id_of(record->imu));
		auto place = index.checks.buffers.places.find(record->imu);
		if (place != index.checks.buffers.places.end())
			add_place(place->second, index, context, buffer);
	}
}

} // namespace bpfckpt::collect
