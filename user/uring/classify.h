/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What is to become of a request in flight: submitted again at restore, waited for, or delivered as a completion.
#pragma once

#include <string>
#include <string_view>

#include "user/uring/request_source.h"
#include "user/uring/sighting.h"

namespace bpfckpt::uring {

// The kernel executes it or is about to; else it is armed on something, or not issued.
bool is_worked_on(const uring_request_record &record);
// It is worked on and finishes by itself, given time, instead of waiting for something outside. `disk`: its file is a
// regular one, a directory or a block device.
bool is_bounded(const RequestSource &source, bool disk);

// It is done, and what its completion says is known to the queued function only, or more than a completion hangs on it:
// restore could not make it up (is_completion() in classify.cc, completion_obstacle() in rearm.h).
bool is_for_its_thread(const RequestSource &source, bool large_completions);

// Sets class, result and completion_flags. `work` names the function queued for it (empty: none, or without a name),
// `obstacle` is what decode_request() said.
void classify(const RequestSource &source, const Sighting &sighting, std::string_view work, bool disk,
	      const std::string &obstacle, images::Request &request);

} // namespace bpfckpt::uring
