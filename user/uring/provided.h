/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Groups of provided buffers (struct io_buffer_list), and what it takes to make them again: requests, each of them a
// submission and a completion that the ring must not have seen yet.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "images/uring.pb.h"

namespace bpfckpt::uring {

// Buffers of a classic group that one IORING_OP_PROVIDE_BUFFERS provides: neighbours in memory, numbered in a row.
struct ProvidedRun {
	images::ProvidedBuffer first;
	uint32_t count;
};

// Sends that wait with a provided buffer (Request.taken_buffer), by group; in each in the order in which they are
// submitted again, and take it again (rearm.h: waiting_chains()).
class Takers {
public:
	explicit Takers(const images::Ring &ring);
	[[nodiscard]] std::span<const images::Request *const> of(const images::BufferGroup &group) const;

private:
	std::unordered_map<uint32_t, std::vector<const images::Request *>> of_group_;
};

// The buffers that they take again, then those that are left.
[[nodiscard]] std::vector<ProvidedRun> runs_of(const images::BufferGroup &group, const Takers &takers);

// A receive that takes buffers of a ring in one go takes up to these (io_uring/kbuf.c: PEEK_MAX_IMPORT, less one for
// what net.c does on a second try); of an incremental ring each buffer once.
[[nodiscard]] uint32_t buffers_at_once(const images::BufferGroup &group);

// At most.
[[nodiscard]] uint64_t requests_to_provide(const images::Ring &ring);

// nullptr: there is no such group.
[[nodiscard]] const images::BufferGroup *find_group(const images::Ring &ring, uint32_t id);

// By how many buffers a ring of them goes on when the request takes again what it has taken.
[[nodiscard]] uint32_t buffers_used_up(const images::Request &request);

// A send that takes several buffers at once (IORING_RECVSEND_BUNDLE).
[[nodiscard]] bool is_bundle(const images::Request &request);

// Where a ring of buffers was before those that wait now took theirs.
[[nodiscard]] uint16_t first_head(const images::BufferGroup &group, const Takers &takers);

// When it is submitted again it takes a buffer from a ring of them, which need not be there any more.
[[nodiscard]] bool takes_from_ring(const images::Ring &ring, const images::Request &request);
// A read that waits: when it is submitted again it looks for a buffer in a ring of them, and gives it back. That it
// finds one counts, and how long that is: it never reads more later (io_uring/rw.c: __io_import_rw_buffer()).
[[nodiscard]] bool looks_into_ring(const images::Ring &ring, const images::Request &request);
// The same, and its group is a classic one with nothing in it, or gone.
[[nodiscard]] bool looks_into_empty(const images::Ring &ring, const images::Request &request);

} // namespace bpfckpt::uring
