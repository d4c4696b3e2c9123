/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Groups of provided buffers (struct io_buffer_list), and what it takes to make them again: requests, each of them a
// submission and a completion that the ring must not have seen yet.
#pragma once

#include <vector>

#include "images/uring.pb.h"

namespace bpfckpt::uring {

// Buffers of a classic group that one IORING_OP_PROVIDE_BUFFERS provides: neighbours in memory, numbered in a row.
struct ProvidedRun {
	const images::ProvidedBuffer *first;
	uint32_t count;
};

[[nodiscard]] std::vector<ProvidedRun> runs_of(const images::BufferGroup &group);

// A receive that takes buffers of a ring in one go takes up to these (io_uring/kbuf.c: PEEK_MAX_IMPORT, less one for
// what net.c does on a second try); of an incremental ring each buffer once.
[[nodiscard]] uint32_t buffers_at_once(const images::BufferGroup &group);

// At most.
[[nodiscard]] uint64_t requests_to_provide(const images::Ring &ring);

// Nothing is left in it for a request that would take a buffer now.
[[nodiscard]] bool has_no_buffer(const images::Ring &ring, uint32_t group);

} // namespace bpfckpt::uring
