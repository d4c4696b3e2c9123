/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What can come back only otherwise than it was, and does so if the user accepts it by name (--allow-inexact).
//
// Invariant: what was accepted is in the images (Request.accepted, Socket.accepted, Inotify.accepted), so a restore is
// not asked again.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "images/document.pb.h"

namespace bpfckpt::uring {

struct InexactKind {
	std::string_view name;
	std::string_view seen; // what the program will see
};

[[nodiscard]] std::span<const InexactKind> inexact_kinds();
// nullptr: there is none of that name.
[[nodiscard]] const InexactKind *inexact_kind(std::string_view name);

// By which of them a request that is refused would pass; nullptr: by none.
[[nodiscard]] const InexactKind *inexact_kind_of(const images::Ring &ring, const images::Request &request);
void accept(const InexactKind &kind, images::Request &request);
// Marks what is of the kinds named in `allowed`.
void accept_inexact(std::span<const std::string> allowed, images::Document &document);
// How many objects have been accepted, by the name of their kind.
[[nodiscard]] std::map<std::string, unsigned> accepted_in(const images::Document &document);

// "--allow-inexact waitall: ...": how to have it dumped all the same.
[[nodiscard]] std::string hint_of(const InexactKind &kind);

} // namespace bpfckpt::uring
