// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/provided.h"

#include <algorithm>

#include <linux/io_uring.h>

#include "user/uring/sighting.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::uring {

constexpr uint32_t kMostAtOnce = 256;

Takers::Takers(const images::Ring &ring)
{
	for (const images::Request &request : ring.in_flight())
		if (request.has_taken_buffer())
			of_group_[request.buffer_group()].push_back(&request);
}

std::span<const images::Request *const> Takers::of(const images::BufferGroup &group) const
{
	auto takers = of_group_.find(group.id());
	return takers == of_group_.end() ? std::span<const images::Request *const>() : takers->second;
}

std::vector<ProvidedRun> runs_of(const images::BufferGroup &group, const Takers &takers)
{
	std::vector<ProvidedRun> runs;
	auto add = [&](const images::ProvidedBuffer &buffer) {
		const ProvidedRun *last = runs.empty() ? nullptr : &runs.back();
		bool follows =
			last && buffer.length() == last->first.length() &&
			buffer.address() == last->first.address() + uint64_t{last->count} * last->first.length() &&
			buffer.id() == last->first.id() + last->count;
		if (follows)
			runs.back().count++;
		else
			runs.push_back({buffer, 1});
	};
	for (const images::Request *request : takers.of(group)) {
		images::ProvidedBuffer taken;
		taken.set_id(request->taken_buffer());
		taken.set_address(request->address());
		taken.set_length(request->length());
		add(taken);
	}
	for (const images::ProvidedBuffer &buffer : group.buffers())
		add(buffer);
	return runs;
}

uint32_t buffers_at_once(const images::BufferGroup &group)
{
	return group.incremental() ? std::clamp(group.entries(), 1U, kMostAtOnce) : kMostAtOnce;
}

// Of two buffers that are left, the first receive takes one (seen on 6.18): that is a request more.
uint64_t requests_to_provide(const images::Ring &ring)
{
	uint64_t requests = 0;
	Takers takers(ring);
	for (const images::BufferGroup &group : ring.buffer_groups()) {
		if (!group.ring())
			requests += runs_of(group, takers).size();
		else if (uint32_t head = first_head(group, takers))
			requests += head / std::max(buffers_at_once(group) - 1, 1U) + (head == 1 ? 1 : 2);
	}
	return requests;
}

const images::BufferGroup *find_group(const images::Ring &ring, uint32_t id)
{
	auto group = std::ranges::find(ring.buffer_groups(), id, &images::BufferGroup::id);
	return group == ring.buffer_groups().end() ? nullptr : &*group;
}

uint16_t first_head(const images::BufferGroup &group, const Takers &takers)
{
	uint32_t head = group.head();
	for (const images::Request *request : takers.of(group))
		head -= buffers_used_up(*request);
	return static_cast<uint16_t>(head);
}

bool is_bundle(const images::Request &request)
{
	return request.opcode() == images::IORING_OP_SEND && request.ioprio() & kRecvSendBundle;
}

uint32_t buffers_used_up(const images::Request &request)
{
	if (request.buffer_kept())
		return 0;
	return is_bundle(request) ? static_cast<uint32_t>(request.iovecs_size()) : 1;
}

static bool is_of_ring(const images::Ring &ring, const images::Request &request)
{
	const images::BufferGroup *group = find_group(ring, request.buffer_group());
	return group && group->ring();
}

bool takes_from_ring(const images::Ring &ring, const images::Request &request)
{
	return request.has_taken_buffer() && is_of_ring(ring, request);
}

static bool looks_for_buffer(const images::Request &request)
{
	bool reads = request.opcode() == images::IORING_OP_READ || request.opcode() == images::IORING_OP_READ_MULTISHOT;
	return reads && request.flags() & IOSQE_BUFFER_SELECT && !request.woken() && !request.has_taken_buffer() &&
	       request.where() == name_of_place(URING_PLACE_POLL);
}

bool looks_into_ring(const images::Ring &ring, const images::Request &request)
{
	return looks_for_buffer(request) && is_of_ring(ring, request);
}

bool looks_into_empty(const images::Ring &ring, const images::Request &request)
{
	if (!looks_for_buffer(request))
		return false;
	const images::BufferGroup *group = find_group(ring, request.buffer_group());
	return !group || (!group->ring() && group->buffers().empty());
}

} // namespace bpfckpt::uring
