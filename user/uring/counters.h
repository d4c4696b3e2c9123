/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// How a new ring gets the counters of an old one. SQ head and CQ tail run freely in 32 bits, programs keep copies of
// them (liburing does), and nothing but submissions and completions moves them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "images/uring.pb.h"

namespace bpfckpt::uring {

struct CounterSteps {
	uint32_t nops = 0;  // IORING_OP_NOP: both by one
	uint32_t skips = 0; // the same with IOSQE_CQE_SKIP_SUCCESS: SQ head by one
	uint32_t drops = 0; // an index in the SQ array that is none: SQ head by one
	uint32_t posts = 0; // a message of another ring: CQ tail by one
	uint32_t owed = 0;  // later, a NOP that is a completion which is to come: both by one
	uint32_t wide = 0;  // the same, but nothing else than a NOP can be that completion

	[[nodiscard]] uint64_t count() const { return uint64_t{nops} + skips + drops + posts + owed + wide; }
	bool operator==(const CounterSteps &) const = default;
};

// The cheapest way from a new ring, whose counters are 0, to where nothing is missing but what waits in the ring.
// `done`: what it has seen already; submissions of requests that wait do not count.
struct RingProgress {
	uint32_t submissions = 0;
	uint32_t completions = 0;
};
[[nodiscard]] CounterSteps counter_steps(const images::Ring &ring, const RingProgress &done = {});

// Completions that are still to be posted: all that a message can be, those of them that a NOP of the ring itself can
// be as well, and those that only a NOP can be (is_wide()).
struct OwedCompletions {
	uint32_t all = 0;
	uint32_t plain = 0;
	uint32_t wide = 0;
};
[[nodiscard]] OwedCompletions owed_completions(const images::Ring &ring);
// Done at the dump, and to be told. Of others only the rest was to be done (io_uring/io_uring.c: io_free_req()).
[[nodiscard]] bool owes_completion(const images::Request &request);

// It has 32 bytes, of which the second half is not zero: a message has no room for that.
[[nodiscard]] bool has_second_half(const images::Cqe &cqe);
// Whether completions of NOPs have these flags: none but IORING_CQE_F_32, in a ring that has completions of two sizes
// (io_uring/nop.c: io_nop(), include/linux/io_uring.h: io_req_set_res32(), v6.18).
[[nodiscard]] bool has_flags_of_nop(const images::Ring &ring, uint32_t flags);
// It has a second half, and a NOP makes it as it was (IORING_NOP_CQE32).
[[nodiscard]] bool is_wide(const images::Ring &ring, const images::Cqe &cqe);

// Why the counters cannot be reached while the ring owes completions; empty: they can.
[[nodiscard]] std::string counter_obstacle(const images::Ring &ring);

// What the steps take, rather more than less, on a machine on which a NOP takes kTimeOfNop.
inline constexpr std::chrono::nanoseconds kTimeOfNop{130};
[[nodiscard]] std::chrono::nanoseconds time_of(const CounterSteps &steps, const images::Ring &ring);

// Which counters may become others than they were, because no program keeps copies of them. That cannot be found out:
// liburing keeps copies of those of the SQ, libuv of none.
enum class Rebase { kNone, kCq, kAll };

// Gives a ring the least counters that it can come back with, where that makes them less: both queues go on in the slot
// in which they were, with what is in them. False: it has them already.
bool rebase_counters(Rebase which, images::Ring &ring);

} // namespace bpfckpt::uring
