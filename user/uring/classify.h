/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What is to become of a request in flight: submitted again at restore, waited for, or delivered as a completion.
#pragma once

#include <string>
#include <string_view>

#include "user/uring/request_source.h"

namespace bpfckpt::uring {

// How a request was found, all places taken together.
struct Sighting {
	const uring_request_record *record = nullptr; // in the place that says most
	bool queued = false;                          // it is in a list of task work
	std::string_view work;                        // the function queued there; empty: none, or without a name
};

// "armed poll", "io-wq worker" ...: Request.where
const char *name_of_place(uint32_t place);
// Which of two places says more about a request that is in both.
bool says_more(uint32_t place, uint32_t than);

// Sets class, result and completion_flags. `kind` is that of its file (File.kind), `obstacle` what decode_request()
// said.
void classify(const RequestSource &source, const Sighting &sighting, std::string_view kind, const std::string &obstacle,
	      images::Request &request);

} // namespace bpfckpt::uring
