/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The vDSO (arch/x86/entry/vdso): code of the kernel in every process, so images depend on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <sys/user.h>

#include "images/document.pb.h"
#include "images/manifest.pb.h"
#include "user/memory/range.h"
#include "user/util/result.h"

namespace bpfckpt::memory {

// Where the kernel has mapped it for us: the data that its code reads, then the code. The distances are those of every
// process.
struct OwnVdso {
	uint64_t start = 0; // of the data
	uint64_t code = 0;
	uint64_t end = 0;

	[[nodiscard]] std::span<const std::byte> bytes() const
	{
		return {reinterpret_cast<const std::byte *>(code), end - code};
	}
};

// Errors: kKernelLacks (vdso=0).
Result<OwnVdso> own_vdso();

// XXH3-128 of the vDSO that this kernel maps, from our own copy, 16 bytes; empty if there is none (vdso=0).
std::string vdso_hash();

// The code of the vDSO of a process in the images; empty: it has none.
Range vdso_code(const images::Memory &memory);
// nullopt: they are not in the images, or not those of a 64-bit thread.
std::optional<user_regs_struct> registers_of(const images::Thread &thread);
bool is_inside(const images::Thread &thread, Range code);

// For a restore on a kernel that has another one; `with_data`: also what a thread that is inside needs to come out of
// it.
Result<> save_vdso(bool with_data, images::Vdso &to);

} // namespace bpfckpt::memory
