/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the user lets pass that is refused otherwise.
#pragma once

namespace bpfckpt::policy {

struct Options {
	bool tcp_established = false; // --tcp-established
	bool leak_ignore_all = false; // --leak all=ignore
};

} // namespace bpfckpt::policy
