/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Requests that wait, submitted again: which can be so that the program sees no difference, and in which order.
#pragma once

#include <string>
#include <vector>

#include "images/document.pb.h"

namespace bpfckpt::uring {

// Why a request that waits cannot be submitted again; empty: it can. `file`: what it is about; nullptr: none, or not in
// the document. `input`: the same of what a splice or tee takes from.
[[nodiscard]] std::string rearm_obstacle(const images::Ring &ring, const images::Request &request,
					 const images::File *file, const images::File *input);

// One whose completion has not been posted: why restore cannot post it; empty: it can.
[[nodiscard]] std::string completion_obstacle(const images::Ring &ring, const images::Request &request);

// A poll for edges tells at once what is ready when it is submitted, which this one told before.
[[nodiscard]] bool may_report_again(const images::Request &request);

// A timeout that has begun, and expires more than once more: only a period from now, or once (io_uring/timeout.c:
// io_timeout_complete()).
[[nodiscard]] bool is_repeating_timeout(const images::Request &request);

// Nothing of it has been done but the preparation.
[[nodiscard]] bool has_not_begun(const images::Request &request);

// A work of io-wq: one that a worker executes or that waits for one.
[[nodiscard]] bool is_work(const images::Request &request);
// The first.
[[nodiscard]] bool has_worker(const images::Request &request);

// It has found what it expects in all its words and waits to be woken. One that has not begun looks when its turn
// comes.
[[nodiscard]] bool waits_for_futex(const images::Request &request);

// Linked requests, which go in one submission.
using Chain = std::vector<const images::Request *>;

// Those that wait, in the order in which they are submitted.
[[nodiscard]] std::vector<Chain> waiting_chains(const images::Ring &ring);
// It begins with a work of io-wq. These come behind all that is not held back.
[[nodiscard]] bool is_work(const Chain &chain);
// Behind an IOSQE_IO_DRAIN: until all that was submitted before it is done. These come last.
[[nodiscard]] bool is_held_back(const Chain &chain);
[[nodiscard]] uint32_t waiting_count(const images::Ring &ring);

} // namespace bpfckpt::uring
