/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What the tree shares with processes outside in a way that one side could notice.
#pragma once

#include <cstdint>
#include <span>

#include "iterators/file_reader.h"
#include "user/collect/context.h"
#include "user/policy/options.h"

namespace bpfckpt::policy {

// Objects that a process has as a whole, by address; 0: none (zombie).
struct SharedObjects {
	unsigned pid = 0;
	uint64_t mm = 0;
	uint64_t files = 0;
	uint64_t fs = 0;
};

// After the thaw and collect_files(): one pass over the system names the other side of whatever the kernel's own counts
// at the freeze said is shared. Each leak is a finding that names both sides; --leak all=ignore waives them.
Result<> find_leaks(iterators::FileReader &reader, std::span<const SharedObjects> tree, const Options &options,
		    collect::Context &ctx);

} // namespace bpfckpt::policy
