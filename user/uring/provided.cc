// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/provided.h"

#include <algorithm>

namespace bpfckpt::uring {

constexpr uint32_t kMostAtOnce = 256;

std::vector<ProvidedRun> runs_of(const images::BufferGroup &group)
{
	std::vector<ProvidedRun> runs;
	const images::ProvidedBuffer *before = nullptr;
	for (const images::ProvidedBuffer &buffer : group.buffers()) {
		bool follows = before && buffer.length() == before->length() &&
			       buffer.address() == before->address() + before->length() &&
			       buffer.id() == before->id() + 1;
		if (follows)
			runs.back().count++;
		else
			runs.push_back({&buffer, 1});
		before = &buffer;
	}
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
			requests += runs_of(group).size();
		else if (group.head())
			requests += group.head() / std::max(buffers_at_once(group) - 1, 1U) + 1;
	}
	return requests;
}

bool has_no_buffer(const images::Ring &ring, uint32_t id)
{
	auto group = std::ranges::find(ring.buffer_groups(), id, &images::BufferGroup::id);
	if (group == ring.buffer_groups().end())
		return true;
	return group->ring() ? group->head() == group->tail() : group->buffers().empty();
}

} // namespace bpfckpt::uring
