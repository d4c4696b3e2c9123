/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a dump tells of itself: --stats json, --stats text, and the summary.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "user/collect/ring_barrier.h"
#include "user/uring/drain.h"

namespace bpfckpt::cli {

// What one ring needed to come to rest.
struct RingStats {
	uint32_t id = 0; // Ring.id
	uring::RingDrain drain;
};

struct DumpStats {
	std::chrono::nanoseconds frozen{};
	std::chrono::nanoseconds wall{};
	int processes = 0;
	int threads = 0;
	int requests = 0;
	uint64_t page_bytes = 0;
	unsigned injected_syscalls = 0;
	unsigned fixed_syscalls = 0;
	std::chrono::nanoseconds drain{};
	unsigned drain_rounds = 0;
	std::vector<RingStats> rings;
	std::map<std::string, unsigned> accepted; // --allow-inexact: objects by kind
	collect::BarrierReport barriers;          // --drain=nop
};

// "requests", "their thread", "the count": what a ring was waited for; "nothing" if it was at rest.
std::string needs_of(const uring::RingDrain &drain);
std::string json_of(const DumpStats &stats);
// A line for each kind that was accepted.
std::string accepted_of(const DumpStats &stats);
// A line for each ring.
std::string drains_of(const DumpStats &stats);

} // namespace bpfckpt::cli
