/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What pipes and unix sockets hold: read while the tree is stopped, without disturbing it, added to the messages later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "iterators/file_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

class Contents {
public:
	// Inside the freeze, after describe(). Costs nothing where all queues are empty. What cannot be read is left
	// out, and is a finding of add_to().
	static Result<Contents> capture(const iterators::FileReader &reader);
	// After collect_files().
	void add_to(Context &ctx) const;

private:
	struct PipeData {
		uint64_t inode = 0;
		std::string bytes;
	};
	struct SocketData {
		uint64_t file = 0;
		std::vector<std::string> messages;
	};
	std::vector<PipeData> pipes_;
	std::vector<SocketData> sockets_;
};

} // namespace bpfckpt::collect
