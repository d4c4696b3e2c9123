/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Requests on files whose readiness nobody can see from outside: a signalfd is ready for a process, by the signals that
// are pending there; an epoll instance is ready by the files that it watches.
//
// A poll that repeats tells of what is ready when it is submitted again. So it is, if at the dump nothing was ready, or
// what was is still to be told.
#pragma once

#include <functional>
#include <string>

#include "user/uring/holders.h"

namespace bpfckpt::uring {

// File.id of the signalfd that a request waits on, or will when its turn comes: then it looks up what it names. 0:
// none.
[[nodiscard]] uint32_t signalfd_of(const images::Ring &ring, const images::Request &request,
				   const images::Process *submitter,
				   const std::function<const images::File *(uint32_t)> &file_of);

// Why a request that waits cannot be submitted again; empty: nothing is in the way.
[[nodiscard]] std::string signalfd_obstacle(const images::Request &request, const images::File &signalfd,
					    const Maker &submitter);

// The same of a poll of an epoll instance.
[[nodiscard]] std::string epoll_obstacle(const images::Document &document, const images::Request &request,
					 const images::File &epoll,
					 const std::function<const images::File *(uint32_t)> &file_of);

// It ends when its parent can be told, after the counters of rings are right (user/restore/build.cc).
[[nodiscard]] bool is_of_zombie(const images::Document &document, const images::File &file);

} // namespace bpfckpt::uring
