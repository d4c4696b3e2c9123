/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// How many io-wq workers a thread may have (struct io_wq_acct.max_workers). A thread gets the limits of the first ring
// that it uses; IORING_REGISTER_IOWQ_MAX_WORKERS sets them for the ring, for threads to come, and for those that use
// it: so the last ring of which a thread's limits were set decides.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "images/document.pb.h"

namespace bpfckpt::uring {

// Those of a thread, unless each ring that it uses would give it the same by itself. 0: what it has by default.
[[nodiscard]] std::optional<std::array<uint32_t, 2>> limits_to_set(const images::Document &document,
								   const images::Process &process, uint32_t tid);

// CPUs of the workers of a thread, or of an SQ thread, that uses the ring (struct io_wq.cpu_mask), as Thread.affinity;
// nullptr: simply all, or it does not use it.
[[nodiscard]] const std::string *cpus_to_set(const images::Ring &ring, uint32_t tid);

} // namespace bpfckpt::uring
