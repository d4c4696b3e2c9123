/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Options of unix sockets and TCP listeners that have no place in the images: a socket that has set one is refused.
// And the files that unix listeners are bound to, which are found through their sockets, too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

class SocketOptions {
public:
	// After describe_fds(). Asks each such socket through a borrowed descriptor, and a new one of the same type.
	static SocketOptions capture(const iterators::FileReader &reader);
	void add_to(Context &ctx) const;

private:
	struct Finding {
		uint64_t file;
		const char *what;
		std::string option; // empty: could not be asked
	};
	struct Name {
		uint64_t file;
		images::SocketName name;
	};
	std::vector<Finding> found_;
	std::vector<Name> names_; // of listeners
};

} // namespace bpfckpt::collect
