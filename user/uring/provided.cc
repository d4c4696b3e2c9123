// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/provided.h"

#include <algorithm>

#include <linux/io_uring.h>

#include "user/uring/sighting.h"

namespace bpfckpt::uring {

constexpr uint32_t kMostAtOnce = 256;

static bool has_taken_from(const images::Request &request, uint32_t group)
{
	return request.has_taken_buffer() && request.buffer_group() == group;
}

// In the order in which they are submitted again: waiting_chains().
std::vector<ProvidedRun> runs_of(const images::Ring &ring, const images::BufferGroup &group)
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
	for (const images::Request &request : ring.in_flight()) {
		if (!has_taken_from(request, group.id()))
			continue;
		images::ProvidedBuffer taken;
		taken.set_id(request.taken_buffer());
		taken.set_address(request.address());
		taken.set_length(request.length());
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

uint64_t requests_to_provide(const images::Ring &ring)
{
	uint64_t requests = 0;
	for (const images::BufferGroup &group : ring.buffer_groups()) {
		if (!group.ring())
			requests += runs_of(ring, group).size();
		else if (uint32_t head = first_head(ring, group))
			requests += head / std::max(buffers_at_once(group) - 1, 1U) + 1;
	}
	return requests;
}

const images::BufferGroup *find_group(const images::Ring &ring, uint32_t id)
{
	auto group = std::ranges::find(ring.buffer_groups(), id, &images::BufferGroup::id);
	return group == ring.buffer_groups().end() ? nullptr : &*group;
}

uint16_t first_head(const images::Ring &ring, const images::BufferGroup &group)
{
	auto taken = std::ranges::count_if(
		ring.in_flight(), [&](const images::Request &request) { return has_taken_from(request, group.id()); });
	return static_cast<uint16_t>(group.head() - static_cast<uint32_t>(taken));
}

// A read that waits has looked for a buffer and given it back: what counts is that there is one.
bool needs_loan(const images::Ring &ring, const images::Request &request)
{
	const images::BufferGroup *group = find_group(ring, request.buffer_group());
	if (!(request.flags() & IOSQE_BUFFER_SELECT) || !group || !group->ring())
		return false;
	bool reads = request.opcode() == images::IORING_OP_READ || request.opcode() == images::IORING_OP_READ_MULTISHOT;
	bool waits = request.where() == name_of_place(URING_PLACE_POLL) && !request.woken();
	return request.has_taken_buffer() || (reads && waits && group->head() == group->tail());
}

} // namespace bpfckpt::uring
