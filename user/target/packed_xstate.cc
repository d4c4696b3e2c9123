// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/packed_xstate.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <cpuid.h>

namespace bpfckpt::target {

constexpr size_t kLegacyXstate = 512 + 64; // FXSAVE's, and the header
constexpr size_t kBlock = 64;
// Bits and blocks of a thread that has used the vector registers of a C library, with room for some that did more; and
// of one that is much like another.
constexpr size_t kUsualPacked = 768;
constexpr size_t kAlikePacked = 256;
constexpr size_t kFew = 64; // threads that may all be unlike
constexpr size_t kMostBases = 64;

static size_t blocks_of(size_t size)
{
	return (size + kBlock - 1) / kBlock;
}

// Of whole bytes: bit n % 8 of byte n / 8 is block n.
static size_t bitmap_size(size_t size)
{
	return (blocks_of(size) + 7) / 8;
}

using Block = std::span<const std::byte, kBlock>;

static bool is_zero(Block block)
{
	uint64_t any = 0;
	for (size_t i = 0; i < kBlock; i += sizeof(any)) {
		uint64_t word = 0;
		std::memcpy(&word, block.data() + i, sizeof(word));
		any |= word;
	}
	return any == 0;
}

static Block block_of(const std::byte *set, size_t block)
{
	return std::span<const std::byte, kBlock>(set + block * kBlock, kBlock);
}

static bool is_same(Block block, const std::byte *base, size_t number)
{
	return base ? std::memcmp(block.data(), base + number * kBlock, kBlock) == 0 : is_zero(block);
}

std::vector<std::byte> PackedXstate::unpack() const
{
	size_t blocks = blocks_of(size_);
	std::vector<std::byte> bytes(blocks * kBlock);
	if (base_)
		std::memcpy(bytes.data(), base_, bytes.size());
	const std::byte *from = packed_ + bitmap_size(size_);
	for (size_t block = 0; block < blocks; block++) {
		if ((packed_[block / 8] >> block % 8 & std::byte{1}) == std::byte{0})
			continue;
		std::memcpy(bytes.data() + block * kBlock, from, kBlock);
		from += kBlock;
	}
	while (blocks && is_zero(block_of(bytes.data(), blocks - 1)))
		blocks--;
	size_t end = std::max(std::min<size_t>(size_, kLegacyXstate), std::min<size_t>(size_, blocks * kBlock));
	while (end > kLegacyXstate && bytes[end - 1] == std::byte{0})
		end--;
	bytes.resize(std::min<size_t>((end + 7) & ~size_t{7}, size_));
	return bytes;
}

// Up to whole blocks, so that the last one needs no case of its own.
size_t XstateArena::register_set_size()
{
	unsigned eax, ebx, ecx = 0, edx;
	// CPUID.(EAX=0DH,ECX=0):ECX is the size for all that the CPU has, so never too small.
	if (!__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) || ecx < kLegacyXstate)
		ecx = kLegacyXstate;
	return blocks_of(ecx) * kBlock;
}

Result<> XstateArena::reserve(size_t threads)
{
	size_t few = std::min(threads, kFew);
	size_t size = std::max(few * kUsualPacked + (threads - few) * kAlikePacked,
			       bitmap_size(scratch_.size()) + scratch_.size());
	chunks_.push_back(
		TRY(Mapping::create(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)));
	free_ = chunks_.back().bytes();
	return {};
}

Result<std::span<std::byte>> XstateArena::room_for(size_t bytes)
{
	if (bytes > free_.size())
		TRY(reserve(kFew));
	std::span<std::byte> room = free_.first(bytes);
	free_ = free_.subspan(bytes);
	return room;
}

// For those that follow; there are few bases, so that they take no more than they save.
Result<> XstateArena::remember_as_base(size_t size)
{
	std::span<std::byte> base = TRY(room_for(blocks_of(size) * kBlock));
	std::ranges::copy(std::span(scratch_).first(base.size()), base.begin());
	base_ = base;
	bases_++;
	return {};
}

Result<PackedXstate> XstateArena::keep(size_t size)
{
	size_t blocks = blocks_of(size), used = bitmap_size(size);
	std::ranges::fill(std::span(scratch_).subspan(size, blocks * kBlock - size), std::byte{});
	const std::byte *base = base_.size() == blocks * kBlock ? base_.data() : nullptr;
	size_t differing = 0, not_zero = 0;
	for (size_t block = 0; block < blocks; block++) {
		Block bytes = block_of(scratch_.data(), block);
		differing += !is_same(bytes, base, block);
		not_zero += !is_zero(bytes);
	}
	bool alike = base && differing <= not_zero / 2;
	if (!alike) {
		base = nullptr;
		differing = not_zero;
	}
	std::span<std::byte> packed = TRY(room_for(used + differing * kBlock));
	std::ranges::fill(packed.first(used), std::byte{});
	for (size_t block = 0; block < blocks; block++) {
		Block bytes = block_of(scratch_.data(), block);
		if (is_same(bytes, base, block))
			continue;
		packed[block / 8] |= std::byte{1} << block % 8;
		std::ranges::copy(bytes, packed.subspan(used).begin());
		used += kBlock;
	}
	// That of a process that is alone is none.
	if (!alike && bases_ < kMostBases && std::exchange(any_, true))
		TRY(remember_as_base(size));
	return PackedXstate(packed.data(), base, size);
}

} // namespace bpfckpt::target
