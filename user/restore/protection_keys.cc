// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/protection_keys.h"

#include <algorithm>
#include <bit>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/util/mapping.h"

namespace bpfckpt::restore {

bool has_protection_keys()
{
	static const bool there = [] {
		// Key 0 is there from the start where there are any (arch/x86/include/asm/mmu_context.h:
		// init_new_context()).
		Result<Mapping> page = Mapping::create(4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
		return page && syscall(SYS_pkey_mprotect, page->data(), 4096, PROT_READ, 0) == 0;
	}();
	return there;
}

// They are given out from the lowest. The kernel takes the lowest that is free, too, when something is made executable
// only (arch/x86/mm/pkeys.c: __execute_only_pkey()), and keeps it.
void ProtectionKeys::take(uint64_t hole)
{
	uint32_t own = layout_.execute_only_key();
	uint32_t wanted = layout_.protection_keys() | (own ? 1U << own : 0);
	if (!wanted || !has_protection_keys())
		return;
	auto highest = static_cast<uint32_t>(std::bit_width(wanted)) - 1;
	for (uint32_t key = 1; key <= highest; key++)
		calls_.push_back(batch_.add(SYS_pkey_alloc, 0, 0));
	if (own) {
		batch_.add(SYS_pkey_free, own);
		batch_.add(SYS_mmap, hole, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		batch_.add(SYS_munmap, hole, 4096);
	}
	for (uint32_t key = 1; key <= highest; key++)
		if (!(wanted & 1U << key))
			batch_.add(SYS_pkey_free, key);
}

Result<> ProtectionKeys::check() const
{
	for (size_t i = 0; i < calls_.size(); i++)
		if (batch_.result(calls_[i]) != static_cast<int64_t>(i) + 1)
			return make_error(Code::kInternal, "protection key {} came as {}", i + 1,
					  batch_.result(calls_[i]));
	return {};
}

void add_protection(target::SyscallBatch &batch, const images::Vma &vma)
{
	// Without a key of its own, mprotect(2) would take one for it: on a machine that had none, the program could
	// read it.
	bool readable = vma.prot() == PROT_EXEC && !vma.protection_key() && has_protection_keys();
	bool of_program = vma.protection_key() && vma.prot() != PROT_EXEC;
	if (readable || of_program)
		batch.add(SYS_pkey_mprotect, vma.start(), vma.end() - vma.start(), vma.prot(), vma.protection_key());
	else
		batch.add(SYS_mprotect, vma.start(), vma.end() - vma.start(), vma.prot());
}

void check_protection_keys(const Plan &plan, Findings &findings)
{
	for (const images::Memory &memory : plan.document->memory())
		if (memory.layout().protection_keys() && !has_protection_keys())
			return findings.push_back(
				Error(Code::kMismatch,
				      "uses memory protection keys (pkey_alloc), which this machine has not")
					.on(fmt::format("pid {}", memory.pids_size() ? memory.pids(0) : 0))
					.with_hint("restore on a CPU with protection keys"));
}

} // namespace bpfckpt::restore
