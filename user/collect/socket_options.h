/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Options of unix sockets and TCP listeners that have no place in the images: a socket that has set one is refused.
// And the files that unix listeners are bound to, which are found through their sockets, too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::collect {

class SocketOptions {
public:
	SocketOptions();
	SocketOptions(SocketOptions &&) noexcept;
	SocketOptions &operator=(SocketOptions &&) noexcept;
	~SocketOptions();

	// After describe_fds(). Asks each such socket through a borrowed descriptor.
	void capture(const iterators::FileReader &reader);
	void add_to(Context &ctx) const;

private:
	class Defaults;
	void look_at(const socket_record &record, const UniqueFd &socket);

	struct Finding {
		uint64_t file;
		const char *what;
		std::string option; // empty: could not be asked
	};
	struct Name {
		uint64_t file;
		images::SocketName name;
	};
	std::unique_ptr<Defaults> defaults_;
	std::vector<Finding> found_;
	std::vector<Name> names_; // of listeners
};

} // namespace bpfckpt::collect
