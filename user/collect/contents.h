/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What pipes and unix sockets hold: read without disturbing it while the tree is stopped, added to the messages later.
#pragma once

#include <memory>

#include "iterators/file_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

class Contents {
public:
	Contents();
	Contents(Contents &&) noexcept;
	Contents &operator=(Contents &&) noexcept;
	~Contents();

	// Inside the freeze, after describe(). Costs nothing where all queues are empty.
	static Result<Contents> capture(const iterators::FileReader &reader);
	// After collect_files().
	Result<> add_to(Context &ctx) const;

private:
	struct Impl;
	std::unique_ptr<Impl> impl_;
};

} // namespace bpfckpt::collect
