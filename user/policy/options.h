/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the user lets pass that is refused otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bpfckpt::policy {

inline constexpr uint64_t kGhostLimit = 1 << 20;

struct Options {
	bool tcp_established = false;          // --tcp-established
	bool leak_ignore_all = false;          // --leak all=ignore
	std::vector<std::string> inexact = {}; // --allow-inexact: kinds (user/uring/inexact.h)
	uint64_t ghost_limit = kGhostLimit;    // --ghost-limit: bytes of one deleted file that the images take in
};

} // namespace bpfckpt::policy
