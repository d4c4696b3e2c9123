// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which thread sets up which ring, and how its counters get where they were.
#include <algorithm>
#include <bit>
#include <unordered_set>

#include <linux/io_uring.h>

#include "user/restore/plan.h"
#include "user/restore/ring_signalfd.h"
#include "user/uring/clones.h"

namespace bpfckpt::restore {

constexpr uint32_t kMostBuffers = 32768; // of a ring: io_uring/kbuf.c: io_register_pbuf_ring()

// What the queues take up: struct io_rings, CQEs, SQ array (io_uring/io_uring.c: rings_size()).
static uint64_t queue_bytes(const images::Ring &ring)
{
	const images::RingLayout &layout = ring.layout();
	uint64_t cqes = layout.cqes() + uint64_t{ring.cq_entries()} * layout.cqe_size();
	return layout.sq_array() ? std::max(cqes, layout.sq_array() + uint64_t{ring.sq_entries()} * 4) : cqes;
}

// Nothing is written outside of queues that were set up with these sizes.
static Result<> check_sizes(const images::Ring &ring)
{
	const images::RingLayout &layout = ring.layout();
	auto corrupt = [&](const char *what) {
		return make_error(Code::kCorrupt, "{}", what).on(fmt::format("ring {}", ring.id()));
	};
	bool wide_sqe = ring.flags() & IORING_SETUP_SQE128, wide_cqe = ring.flags() & IORING_SETUP_CQE32;
	if (layout.sqe_size() != (wide_sqe ? 128U : 64U) || layout.cqe_size() != (wide_cqe ? 32U : 16U))
		return corrupt("has entries of another size than its flags say");
	if (ring.sq_ring().size() != queue_bytes(ring) ||
	    ring.sqes().size() != uint64_t{ring.sq_entries()} * layout.sqe_size())
		return corrupt("has queues of another size than its entries need");
	if (layout.sq_head() % 4 || layout.sq_tail() % 4 || layout.cq_head() % 4 || layout.cq_tail() % 4 ||
	    layout.sq_array() % 4 ||
	    std::max({layout.sq_head(), layout.sq_tail(), layout.cq_head(), layout.cq_tail()}) + 4 > layout.cqes())
		return corrupt("has counters that lie outside of their place");
	for (const images::FixedFile &file : ring.fixed_files())
		if (file.slot() >= ring.fixed_file_slots())
			return corrupt("has a file behind the end of its table");
	if (ring.file_alloc_start() > ring.file_alloc_end() || ring.file_alloc_end() > ring.fixed_file_slots())
		return corrupt("has a range of free slots outside of its table");
	for (const images::BufferGroup &group : ring.buffer_groups())
		if (group.ring() &&
		    (!std::has_single_bit(group.entries()) || group.entries() > kMostBuffers ||
		     group.head() > UINT16_MAX || group.id() > UINT16_MAX ||
		     (group.kernel_memory() && group.content().size() != group.entries() * sizeof(io_uring_buf))))
			return corrupt("has a ring of buffers of another size than it says");
	for (const images::Request &request : ring.in_flight())
		if (request.has_taken_buffer() &&
		    (request.taken_buffer() > UINT16_MAX || !(request.flags() & IOSQE_BUFFER_SELECT) ||
		     (request.opcode() != images::IORING_OP_SEND && request.opcode() != images::IORING_OP_READ)))
			return corrupt("has a request with a buffer that it cannot have taken");
	if (!ring.region_of_user() && ring.region_content().size() != uint64_t{ring.region_pages()} * 4096)
		return corrupt("has a memory region of another size than it says");
	for (const images::FixedBuffer &buffer : ring.buffers())
		if (buffer.slot() >= ring.buffer_slots())
			return corrupt("has a buffer behind the end of its table");
	return {};
}

// The first ring of an SQ thread makes it, that is one that was not attached itself, if it is still there.
static void share_threads(Plan &plan)
{
	std::ranges::stable_partition(
		plan.ring_steps, [](const RingStep &step) { return !(step.ring->flags() & IORING_SETUP_ATTACH_WQ); });
	std::unordered_map<uint32_t, const images::Ring *> first;
	for (RingStep &step : plan.ring_steps) {
		if (!step.ring->has_sq_thread())
			continue;
		auto [it, added] = first.emplace(step.ring->sq_thread().group(), step.ring);
		if (!added)
			step.attached_to = it->second;
	}
}

// Clones of buffers come after those that they are clones of, and a ring after the one whose thread it shares.
static void origins_first(Plan &plan, Findings &findings)
{
	auto origins = uring::clone_origins(*plan.document);
	std::unordered_set<const images::Ring *> made;
	std::vector<RingStep> waiting = std::move(plan.ring_steps);
	plan.ring_steps.clear();
	auto is_due = [&](const RingStep &step) {
		return (!step.attached_to || made.contains(step.attached_to)) &&
		       std::ranges::all_of(step.ring->buffers(), [&](const images::FixedBuffer &buffer) {
			       auto origin = origins.find(buffer.object());
			       return origin == origins.end() || origin->second.ring == step.ring ||
				      made.contains(origin->second.ring);
		       });
	};
	while (!waiting.empty()) {
		auto due = std::ranges::find_if(waiting, is_due);
		if (due == waiting.end()) {
			findings.push_back(
				Error(Code::kUnsupported, "has clones of buffers of a ring that has clones of its own")
					.on(fmt::format("ring {}", waiting.front().ring->id()))
					.with_hint("register the buffers without tags"));
			due = waiting.begin();
		}
		made.insert(due->ring);
		plan.ring_steps.push_back(*due);
		waiting.erase(due);
	}
}

Result<> plan_rings(Plan &plan, Findings &findings)
{
	Findings obstacles = uring::check_rings(*plan.document);
	for (Error &obstacle : obstacles)
		findings.push_back(std::move(obstacle));
	uring::RingHolders holders(*plan.document);
	for (const images::Ring &ring : plan.document->rings()) {
		if (ring.unsupported_size())
			continue; // refused by check_support()
		TRY(check_sizes(ring));
		uring::Maker maker = holders.maker_of(ring);
		if (maker.thread) // else refused by check_rings()
			plan.ring_steps.push_back({&ring, maker, uring::counter_steps(ring)});
		else if (findings.empty())
			return make_error(Code::kCorrupt, "no thread can set it up")
				.on(fmt::format("ring {}", ring.id()));
	}
	find_late_signalfds(holders, plan);
	share_threads(plan);
	origins_first(plan, findings);
	return {};
}

} // namespace bpfckpt::restore
