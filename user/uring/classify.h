/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What is to become of a request in flight: submitted again at restore, waited for, or delivered as a completion.
#pragma once

#include <string>
#include <string_view>

#include "user/uring/request_source.h"
#include "user/uring/sighting.h"

namespace bpfckpt::uring {

// Can wait for ever for something outside once it is being worked on. `disk`: its file is a regular one, a directory or
// a block device.
bool waits_without_bound(const RequestSource &source, bool disk);

// It is done, and what its completion says is known to the queued function only, or more than a completion hangs on it:
// restore could not make it up (is_completion() in classify.cc, completion_obstacle() in rearm.h).
bool is_for_its_thread(const RequestSource &source, bool large_completions);

// Sets class, result and completion_flags. `work` names the function queued for it (empty: none, or without a name),
// `bounded` is Workers::is_bounded(), `obstacle` what decode_request() said.
void classify(const RequestSource &source, const Sighting &sighting, std::string_view work, bool bounded,
	      const std::string &obstacle, images::Request &request);

} // namespace bpfckpt::uring
