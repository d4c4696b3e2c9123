/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Buffers that several slots have as one (IORING_REGISTER_CLONE_BUFFERS, io_uring/rsrc.c: io_clone_buffers()).
#pragma once

#include <unordered_map>

#include "images/document.pb.h"

namespace bpfckpt::uring {

struct BufferSlot {
	const images::Ring *ring = nullptr;
	uint32_t slot = 0;
};

// By FixedBuffer.object the slot that is registered, of which the others are clones. A clone has no tag, so that is the
// one with a tag, if any has.
[[nodiscard]] std::unordered_map<uint32_t, BufferSlot> clone_origins(const images::Document &document);

} // namespace bpfckpt::uring
