/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Groups of provided buffers (struct io_buffer_list), and what it takes to make them again: requests, each of them a
// submission and a completion that the ring must not have seen yet.
#pragma once

#include <vector>

#include "images/uring.pb.h"

namespace bpfckpt::uring {

// Buffers of a classic group that one IORING_OP_PROVIDE_BUFFERS provides: neighbours in memory, numbered in a row.
struct ProvidedRun {
	images::ProvidedBuffer first;
	uint32_t count;
};

// Those that requests have taken that wait now, then those that are left: submitted again, they take them again.
[[nodiscard]] std::vector<ProvidedRun> runs_of(const images::Ring &ring, const images::BufferGroup &group);

// A receive that takes buffers of a ring in one go takes up to these (io_uring/kbuf.c: PEEK_MAX_IMPORT, less one for
// what net.c does on a second try); of an incremental ring each buffer once.
[[nodiscard]] uint32_t buffers_at_once(const images::BufferGroup &group);

// At most.
[[nodiscard]] uint64_t requests_to_provide(const images::Ring &ring);

// nullptr: there is no such group.
[[nodiscard]] const images::BufferGroup *find_group(const images::Ring &ring, uint32_t id);

// Where a ring of buffers was before those that wait now took theirs.
[[nodiscard]] uint16_t first_head(const images::Ring &ring, const images::BufferGroup &group);

// It takes a buffer from a ring of them when it is submitted again, or looks for one, which need not be there any more.
[[nodiscard]] bool needs_loan(const images::Ring &ring, const images::Request &request);

} // namespace bpfckpt::uring
