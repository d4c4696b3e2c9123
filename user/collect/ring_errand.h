/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Lending a stopped thread to its own task work: one io_uring_enter(2) that waits for nothing (user/uring/drain.h).
#pragma once

#include "iterators/file_reader.h"
#include "iterators/task_reader.h"
#include "user/target/frozen_tree.h"
#include "user/uring/drain.h"

namespace bpfckpt::collect {

class RingErrands {
public:
	// `limit`: for each.
	RingErrands(target::FrozenTree &tree, const iterators::FileReader &files, const iterators::TaskReader &tasks,
		    std::chrono::milliseconds limit)
		: tree_(tree), files_(files), tasks_(tasks), limit_(limit)
	{
	}
	// False: the thread is not of the tree, or has no way to the ring, or none back from the call. Errors:
	// kTimeout, and the tree runs again.
	Result<bool> run(const uring::Errand &errand);

private:
	struct Handle {
		uint32_t number;
		uint32_t flags;
	};
	[[nodiscard]] std::optional<Handle> handle_of(uint64_t ring, const task_record &task) const;

	target::FrozenTree &tree_;
	const iterators::FileReader &files_;
	const iterators::TaskReader &tasks_;
	std::chrono::milliseconds limit_;
};

} // namespace bpfckpt::collect
