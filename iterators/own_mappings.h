/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// OwnMappings: one mapping of each special kind in this process, to learn by which kernel table (vm_ops, f_op) the kind
// is known. The kernel may lack the data symbols in kallsyms (CONFIG_KALLSYMS_ALL=n).
#pragma once

#include <cstdint>

#include "user/util/mapping.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::iterators {

class OwnMappings {
public:
	OwnMappings();
	OwnMappings(const OwnMappings &) = delete;
	OwnMappings &operator=(const OwnMappings &) = delete;
	~OwnMappings();

	// Addresses inside of the mappings; 0 where this kernel has no such thing, it is forbidden, or nobody has it.
	[[nodiscard]] uint64_t vdso() const;
	[[nodiscard]] uint64_t shared_anonymous() const { return address(shared_); }
	[[nodiscard]] uint64_t ring() const { return address(ring_); }
	[[nodiscard]] uint64_t secret() const { return address(secret_); }
	[[nodiscard]] uint64_t sysv() const;
	[[nodiscard]] uint64_t aio() const { return aio_; }

private:
	static uint64_t address(const Mapping &mapping);
	void map_ring();
	void map_secret();
	void map_sysv();

	Mapping shared_;
	Mapping ring_;
	Mapping secret_;
	void *sysv_ = nullptr;
	unsigned long aio_ = 0; // aio_context_t: the address of its ring
};

} // namespace bpfckpt::iterators
