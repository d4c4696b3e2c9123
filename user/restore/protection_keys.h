/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Memory protection keys (pkeys(7)): the numbers that a program has, and the one that the kernel has taken for mappings
// that are executable only. What a thread may do with them is in its extended registers (PKRU).
#pragma once

#include "user/restore/plan.h"
#include "user/restore/tree.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

// Has this machine protection keys?
[[nodiscard]] bool has_protection_keys();

// Takes the keys of an address space, while it has none. Into a batch of its own, before anything is mapped executable
// only.
class ProtectionKeys {
public:
	ProtectionKeys(target::SyscallBatch &batch, const images::MmLayout &layout) : batch_(batch), layout_(layout) {}

	// `hole`: a page where nothing is mapped.
	void take(uint64_t hole);
	// After the run. Errors: Code::kInternal if the kernel gave other numbers.
	[[nodiscard]] Result<> check() const;

private:
	target::SyscallBatch &batch_;
	const images::MmLayout &layout_;
	std::vector<size_t> calls_;
};

// mprotect(2), with the key of the mapping.
void add_protection(target::SyscallBatch &batch, const images::Vma &vma);

void check_protection_keys(const Plan &plan, Findings &findings);

} // namespace bpfckpt::restore
