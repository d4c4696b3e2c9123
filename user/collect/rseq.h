/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Restartable sequences (struct rseq, include/uapi/linux/rseq.h): threads that were stopped inside of one.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

#include "iterators/task_record.h"
#include "user/collect/context.h"
#include "user/target/frozen_tree.h"

namespace bpfckpt::collect {

// The descriptors that the program has put into rseq_cs. The kernel clears the field of a thread that comes back from
// a system call, as every thread does that restore has built; so it has to be put back last, and the kernel then sends
// the thread to its abort handler, as it does in the source (kernel/rseq.c: rseq_ip_fixup()).
class CriticalSections {
public:
	// Inside the freeze. Only of threads that were in user mode: no system call may be made inside of a sequence.
	static CriticalSections read(std::span<const task_record> tasks, const target::FrozenTree &tree);
	void add_to(images::Document &document) const;

private:
	std::unordered_map<uint32_t, uint64_t> by_tid_;
};

} // namespace bpfckpt::collect
