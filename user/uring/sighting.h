/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Requests in flight, each once, out of records that may show one in several places.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "iterators/kernel_layout.h"
#include "iterators/uring_record.h"

namespace bpfckpt::uring {

// How a request was found, all places taken together.
struct Sighting {
	const uring_request_record *record = nullptr; // in the place that says most
	bool queued = false;                          // it is in a list of task work, too
	uint64_t work = 0;                            // the function queued there
	uint32_t sequence = 0;                        // in that list: what is run first has the lowest
};

// "armed poll", "io-wq worker" ...: Request.where
const char *name_of_place(uint32_t place);

// Request.where of one that is queued to be issued for the first time: what was before it in its chain, or the drain
// that held it back, is done.
inline constexpr std::string_view kToBeIssued = "to be issued";

// MSG_RING of another ring on its way to this one: no kernel count has it, and no thread of this ring submitted it.
inline bool is_message(const uring_request_record &record)
{
	return record.place == URING_PLACE_TASK_WORK && !record.tctx;
}

// These, as they are run.
std::vector<const uring_request_record *> messages(std::span<const uring_request_record *const> records);

// A zero-copy send has a second request for its notification, from its preparation on (io_uring/net.c:
// io_send_zc_prep()), which is on no list. Its address; 0: it is no such send, or has sent what it had.
[[nodiscard]] uint64_t notification_of(const uring_request_record &record, const iterators::KernelLayout &layout);

// All but messages, in the order of first sight, but those in task work as they are run. The records are those of one
// ring.
std::vector<Sighting> sightings(std::span<const uring_request_record *const> records);

// What the kernel counts, taken before and after the walk.
struct Proof {
	uint32_t counted = 0;
	bool taken = false; // the kernel told, and nothing moved meanwhile

	[[nodiscard]] bool holds(size_t found) const { return taken && found == counted; }
};
Proof proof_of(std::span<const uring_count_record *const> counts);

} // namespace bpfckpt::uring
