/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Extended register sets (NT_X86_XSTATE) of many threads: 11 KiB each where the CPU has AMX, of which most is zero.
//
// Kept are the blocks of 64 bytes that are not, behind a bit for each block. PKRU, which is hardly ever zero, comes
// near the end of a set, so that to leave out the zeroes at its end would not save much. Of thousands that fork(2) or
// one function made, most blocks are those of another, too: kept are those in which a set differs from an earlier one,
// its base. What memory that takes is touched before it is needed in the freeze.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "user/util/mapping.h"
#include "user/util/result.h"

namespace bpfckpt::target {

class PackedXstate {
public:
	PackedXstate() = default;

	// Of the register set as the kernel gave it; 0: there is none.
	[[nodiscard]] size_t size() const { return size_; }
	// Without the zeroes at its end.
	[[nodiscard]] std::vector<std::byte> unpack() const;

private:
	friend class XstateArena;
	PackedXstate(const std::byte *packed, const std::byte *base, size_t size)
		: packed_(packed), base_(base), size_(static_cast<uint32_t>(size))
	{
	}

	const std::byte *packed_ = nullptr; // the arena's
	const std::byte *base_ = nullptr;   // a whole set, the arena's; nullptr: zeroes
	uint32_t size_ = 0;
};

class XstateArena {
public:
	Result<> reserve(size_t threads);
	// Where a register set of any size can be read into.
	[[nodiscard]] std::span<std::byte> scratch() { return scratch_; }
	// The first `size` bytes of that, for good.
	Result<PackedXstate> keep(size_t size);

private:
	// The size of NT_X86_XSTATE on this CPU.
	static size_t register_set_size();

	Result<std::span<std::byte>> room_for(size_t bytes);
	Result<> remember_as_base(size_t size);

	std::vector<std::byte> scratch_ = std::vector<std::byte>(register_set_size());
	std::vector<Mapping> chunks_;
	std::span<std::byte> free_; // of the last one
	std::span<const std::byte> base_;
	size_t bases_ = 0;
	bool any_ = false;
};

} // namespace bpfckpt::target
