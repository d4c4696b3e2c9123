/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A NOP with IOSQE_IO_DRAIN, which completes when all requests before it have: the kernel's own word that a ring is at
// rest, beside the count of its requests (user/uring/sighting.h).
//
// It moves the head of the submission queue, which nobody can move back, while the program keeps a tail of its own
// (liburing): so it is for rings that end with the dump, when all that the images hold of them is written. And it
// cannot be taken back: it is sent where it can end, when nothing is in flight or waits to be submitted.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "images/document.pb.h"
#include "user/target/frozen_tree.h"
#include "user/util/result.h"

namespace bpfckpt::collect {

// By Ring.id: empty if the ring has confirmed, else why it was not asked.
using BarrierReport = std::map<uint32_t, std::string>;

// Errors: kTimeout, kInternal (something else had been in flight).
Result<BarrierReport> ask_barriers(const images::Document &document, target::FrozenTree &tree,
				   std::chrono::milliseconds limit);

} // namespace bpfckpt::collect
