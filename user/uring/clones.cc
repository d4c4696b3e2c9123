// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/clones.h"

#include <algorithm>

namespace bpfckpt::uring {

static bool has_tagged_clone(const images::Ring &ring)
{
	return std::ranges::any_of(ring.buffers(),
				   [](const images::FixedBuffer &buffer) { return buffer.object() && buffer.tag(); });
}

// A ring that has one with a tag comes before all others with its other buffers, too, or each would wait for the other.
std::unordered_map<uint32_t, BufferSlot> clone_origins(const images::Document &document)
{
	std::unordered_map<uint32_t, BufferSlot> origins;
	auto add = [&](const images::Ring &ring, bool tagged) {
		for (const images::FixedBuffer &buffer : ring.buffers())
			if (buffer.object() && (!tagged || buffer.tag()))
				origins.try_emplace(buffer.object(), BufferSlot{&ring, buffer.slot()});
	};
	for (const images::Ring &ring : document.rings())
		add(ring, true);
	for (const images::Ring &ring : document.rings())
		if (has_tagged_clone(ring))
			add(ring, false);
	for (const images::Ring &ring : document.rings())
		add(ring, false);
	return origins;
}

} // namespace bpfckpt::uring
