// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/uring.h"

#include <ctime>

#include <algorithm>

#include <linux/io_uring.h>

#include "iterators/kernel_symbols.h"
#include "user/collect/task.h"
#include "user/collect/uring_index.h"
#include "user/collect/uring_works.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::collect {

namespace {

constexpr uint32_t kRegionOfUser = 2; // IO_REGION_F_USER_PROVIDED
constexpr uint32_t kNapiOff = 255;

// CLOCK_MONOTONIC_COARSE moves once a jiffy.
uint32_t jiffies_to_ms(uint32_t jiffies)
{
	timespec resolution = {};
	clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
	return static_cast<uint32_t>(static_cast<uint64_t>(jiffies) * static_cast<uint64_t>(resolution.tv_nsec) /
				     1'000'000);
}

void collect_setup(const uring_ring_record &record, images::Ring &ring)
{
	ring.set_sq_entries(record.sq_entries);
	ring.set_cq_entries(record.cq_entries);
	ring.set_flags(record.flags);
	ring.set_disabled(record.flags & IORING_SETUP_R_DISABLED);
	ring.set_submitter_tid(record.submitter_tid);
	ring.set_submitter_dead(record.state & URING_SUBMITTER_DEAD);
	ring.set_clock_id(record.clock_id);
	ring.set_drain_active(record.state & URING_DRAIN_ACTIVE);
	ring.set_drain_disabled(record.state & URING_DRAIN_DISABLED);
	ring.set_held_by_drain(record.drained);
	ring.set_compat(record.state & URING_COMPAT);
	ring.set_file_alloc_start(record.file_alloc_start);
	ring.set_file_alloc_end(record.file_alloc_end);
	ring.set_file_alloc_hint(record.file_alloc_hint);
	ring.set_fixed_file_slots(record.file_slots);
	ring.set_buffer_slots(record.buffer_slots);
	ring.set_next_personality(record.next_personality);
	if (record.state & URING_IOWQ_LIMITS) {
		ring.set_bounded_limit(record.iowq_limits[0]);
		ring.set_unbounded_limit(record.iowq_limits[1]);
	}
	ring.set_region_pages(record.param_region_npages);
	ring.set_region_of_user(record.region_flags >> 16 & kRegionOfUser);
	ring.set_region_has_waits(record.state & URING_CQ_WAIT_ARG);
}

// The address of memory that the ring has taken from its program; 0: no process has it as a whole.
uint64_t address_of(const UringIndex &index, const Context &context, uint64_t owner, uring_region region,
		    images::Ring &ring)
{
	auto place = index.checks.regions.find({owner, region});
	if (place == index.checks.regions.end())
		return 0;
	uint32_t space = context.ids.address_spaces.find(place->second.mm);
	if (!ring.address_space())
		ring.set_address_space(space);
	return space && ring.address_space() == space ? place->second.address : 0;
}

void collect_region(const UringIndex &index, const Context &context, const uring_ring_record &record,
		    images::Ring &ring)
{
	if (ring.region_of_user())
		ring.set_region_user_address(address_of(index, context, record.ring, URING_REGION_PARAM, ring));
	else if (ring.region_pages() && !context.live)
		ring.set_region_content(content_of_region(index, record.ring, URING_REGION_PARAM,
							  size_t{ring.region_pages()} * URING_PAGE_BYTES));
}

void collect_fixed_files(const UringIndex &index, const Context &context, uint64_t address, images::Ring &ring)
{
	for (const uring_file_record *record : UringIndex::of(index.fixed_files, address)) {
		images::FixedFile *file = ring.add_fixed_files();
		file->set_slot(record->slot);
		file->set_file(context.ids.files.find(record->file));
		file->set_tag(record->tag);
	}
}

void collect_personalities(const UringIndex &index, uint64_t address, images::Ring &ring)
{
	for (const uring_personality_record *record : UringIndex::of(index.personalities, address)) {
		images::Credentials *credentials = nullptr;
		if (record->id) {
			images::Personality *personality = ring.add_personalities();
			personality->set_id(record->id);
			credentials = personality->mutable_credentials();
		} else {
			credentials = ring.mutable_sq_thread()->mutable_credentials();
		}
		credentials->set_user_namespace(record->user_ns);
		collect_credentials(record->credentials, index.records.credential_groups, credentials);
	}
}

void collect_groups(const UringIndex &index, const Context &context, uint64_t address, images::Ring &ring)
{
	for (const uring_group_record *record : UringIndex::of(index.groups, address)) {
		auto buffers = UringIndex::of(index.provided, record->list);
		if (!record->is_ring && buffers.empty())
			continue; // used up: the same as none
		images::BufferGroup *group = ring.add_buffer_groups();
		group->set_id(record->id);
		group->set_ring(record->is_ring);
		group->set_entries(record->entries);
		group->set_head(record->head);
		group->set_tail(record->tail);
		group->set_incremental(record->incremental);
		group->set_kernel_memory(record->kernel_memory);
		group->set_min_left(record->min_left);
		if (record->kernel_memory && !context.live)
			group->set_content(content_of_region(index, record->list, URING_REGION_BUFFERS,
							     size_t{record->entries} * sizeof(io_uring_buf)));
		else if (record->is_ring && !record->kernel_memory)
			group->set_user_address(address_of(index, context, record->list, URING_REGION_BUFFERS, ring));
		for (const uring_provided_record *provided : buffers) {
			images::ProvidedBuffer *buffer = group->add_buffers();
			buffer->set_id(provided->id);
			buffer->set_address(provided->address);
			buffer->set_length(provided->length);
		}
	}
}

void collect_overflow(const UringIndex &index, const uring_ring_record &record, images::Ring &ring)
{
	for (const uring_overflow_record *entry : UringIndex::of(index.overflow, record.ring)) {
		images::Cqe *cqe = ring.add_overflow();
		cqe->set_user_data(entry->user_data);
		cqe->set_res(entry->res);
		cqe->set_flags(entry->flags);
		if (record.flags & IORING_SETUP_CQE32 || entry->flags & kCqe32) {
			cqe->add_extra(entry->extra[0]);
			cqe->add_extra(entry->extra[1]);
		}
	}
}

void collect_tasks(const UringIndex &index, uint64_t address, images::Ring &ring)
{
	for (const uring_attachment_record *record : UringIndex::of(index.attachments, address)) {
		auto found = index.tasks.find(record->tctx);
		images::TaskContext *task = ring.add_tasks();
		task->set_tid(record->tid);
		if (found == index.tasks.end())
			continue;
		const uring_task_record &state = *found->second;
		task->set_workers(state.workers[0] + state.workers[1]);
		if (auto running = index.running.find(record->tctx); running != index.running.end())
			task->set_running(running->second);
		task->set_bounded_max(state.max_workers[0]);
		task->set_unbounded_max(state.max_workers[1]);
		task->set_affinity(affinity_of(state.affinity, index.records.cpu_count));
	}
}

void collect_sq_thread(const uring_ring_record &record, IdTable &groups, images::Ring &ring)
{
	if (!record.sq_data)
		return;
	images::SqThread *thread = ring.mutable_sq_thread();
	thread->set_tid(record.sq_thread_tid);
	thread->set_idle_ms(jiffies_to_ms(record.sq_thread_idle));
	thread->set_pinned(record.flags & IORING_SETUP_SQ_AFF);
	if (thread->pinned())
		thread->set_cpu(record.sq_thread_cpu);
	thread->set_group(groups.id_of(record.sq_data));
	thread->set_sleeping(record.sq_flags & IORING_SQ_NEED_WAKEUP);
}

void collect_restrictions(const uring_ring_record &record, images::Ring &ring)
{
	if (!(record.state & (URING_RESTRICTED | URING_REG_RESTRICTED)) && !record.restrict_register[0] &&
	    !record.restrict_sqe[0] && !record.sqe_flags_allowed && !record.sqe_flags_required)
		return;
	images::Restrictions *restrictions = ring.mutable_restrictions();
	for (uint32_t bit = 0; bit < 128; bit++) {
		if (record.restrict_register[bit / 64] >> bit % 64 & 1)
			restrictions->add_register_ops(bit);
		if (record.restrict_sqe[bit / 64] >> bit % 64 & 1)
			restrictions->add_sqe_ops(bit);
	}
	restrictions->set_sqe_flags_allowed(record.sqe_flags_allowed);
	restrictions->set_sqe_flags_required(record.sqe_flags_required);
}

void collect_extras(const UringIndex &index, const Context &context, const uring_ring_record &record,
		    images::Ring &ring)
{
	if (record.eventfd_ctx) {
		auto file = index.eventfds.find(record.eventfd_ctx);
		images::RingEventfd *eventfd = ring.mutable_eventfd();
		if (file != index.eventfds.end())
			eventfd->set_file(context.ids.files.find(file->second->file));
		else
			eventfd->set_unreadable(index.eventfd_rings.at(record.eventfd_ctx) == record.eventfd_refs);
		eventfd->set_async(record.eventfd_async);
	}
	if (record.napi_mode != kNapiOff) {
		ring.mutable_napi()->set_mode(record.napi_mode);
		ring.mutable_napi()->set_busy_poll_ns(record.napi_busy_poll_ns);
		ring.mutable_napi()->set_prefer(record.napi_prefer);
	}
}

void collect_file(const UringIndex &index, const uring_ring_record &record, const Context &context, images::Ring &ring)
{
	for (const file_record *file : UringIndex::of(index.ring_files, record.ring)) {
		ring.set_file(context.ids.files.find(file->file));
		ring.set_inode(file->ino);
	}
}

} // namespace

std::unordered_map<uint64_t, std::string> queued_functions(std::span<const uring_request_record> requests)
{
	std::vector<uint64_t> addresses;
	for (const auto &record : requests)
		if (record.place == URING_PLACE_TASK_WORK || record.place == URING_PLACE_FALLBACK)
			addresses.push_back(record.task_work);
	return iterators::kernel_symbols(addresses).value_or(std::unordered_map<uint64_t, std::string>());
}

void collect_rings(const iterators::UringRecords &records, const iterators::KernelLayout &layout,
		   const iterators::FileRecords &files, const RingChecks &checks, Context &context)
{
	FdIndex fds(files.fds, *context.document);
	UringIndex index(records, layout, files.files, fds, checks);
	IdTable sq_threads, clones;
	for (const uring_ring_record &record : records.rings) {
		images::Ring &ring = *context.document->add_rings();
		ring.set_id(context.ids.rings.id_of(record.ring));
		collect_setup(record, ring);
		collect_file(index, record, context, ring);
		collect_ring_memory(index, record, !context.live, ring);
		collect_overflow(index, record, ring);
		collect_fixed_files(index, context, record.ring, ring);
		collect_buffers(index, context, record.ring, clones, ring);
		collect_personalities(index, record.ring, ring);
		if (record.flags & kSetupNoMmap) {
			ring.set_cq_user_address(address_of(index, context, record.ring, URING_REGION_QUEUES, ring));
			ring.set_sq_user_address(address_of(index, context, record.ring, URING_REGION_SQES, ring));
		}
		collect_region(index, context, record, ring);
		collect_groups(index, context, record.ring, ring);
		collect_extras(index, context, record, ring);
		collect_sq_thread(record, sq_threads, ring);
		collect_restrictions(record, ring);
		collect_tasks(index, record.ring, ring);
		collect_requests(index, record, context, ring);
		refuse_unsupported(record, checks, layout, context, ring);
	}
	check_inputs(index, context);
	std::ranges::sort(*context.document->mutable_rings(), {}, &images::Ring::id);
}

} // namespace bpfckpt::collect
