// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/target/packed_xstate.h"

#include <algorithm>
#include <cstring>

#include <cpuid.h>

namespace bpfckpt::target {

constexpr size_t kLegacyXstate = 512 + 64; // FXSAVE's, and the header
constexpr size_t kBlock = 64;
// Bits and blocks of a thread that has used the vector registers of a C library, with room for some that did more.
constexpr size_t kUsualPacked = 768;

static size_t blocks_of(size_t size)
{
	return (size + kBlock - 1) / kBlock;
}

// Of whole bytes: bit n % 8 of byte n / 8 is block n.
static size_t bitmap_size(size_t size)
{
	return (blocks_of(size) + 7) / 8;
}

static bool is_zero(std::span<const std::byte, kBlock> block)
{
	uint64_t any = 0;
	for (size_t i = 0; i < kBlock; i += sizeof(any)) {
		uint64_t word = 0;
		std::memcpy(&word, block.data() + i, sizeof(word));
		any |= word;
	}
	return any == 0;
}

std::vector<std::byte> PackedXstate::unpack() const
{
	std::vector<std::byte> bytes(size_);
	std::span<const std::byte> bits = packed_.first(bitmap_size(size_));
	const std::byte *from = packed_.data() + bits.size();
	size_t end = std::min(size_, kLegacyXstate);
	for (size_t block = 0; block < blocks_of(size_); block++) {
		if ((bits[block / 8] >> block % 8 & std::byte{1}) == std::byte{0})
			continue;
		size_t start = block * kBlock, length = std::min(kBlock, size_ - start);
		std::memcpy(bytes.data() + start, from, length);
		from += kBlock;
		end = std::max(end, start + length);
	}
	while (end > kLegacyXstate && bytes[end - 1] == std::byte{0})
		end--;
	bytes.resize(std::min((end + 7) & ~size_t{7}, size_));
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
	size_t size = std::max(threads * kUsualPacked, bitmap_size(scratch_.size()) + scratch_.size());
	chunks_.push_back(
		TRY(Mapping::create(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)));
	free_ = chunks_.back().bytes();
	return {};
}

Result<PackedXstate> XstateArena::keep(size_t size)
{
	size_t blocks = blocks_of(size), used = bitmap_size(size);
	if (used + blocks * kBlock > free_.size())
		TRY(reserve(64));
	std::ranges::fill(std::span(scratch_).subspan(size, blocks * kBlock - size), std::byte{});
	std::ranges::fill(free_.first(used), std::byte{});
	for (size_t block = 0; block < blocks; block++) {
		auto bytes = std::span<const std::byte>(scratch_).subspan(block * kBlock).first<kBlock>();
		if (is_zero(bytes))
			continue;
		free_[block / 8] |= std::byte{1} << block % 8;
		std::ranges::copy(bytes, free_.subspan(used).begin());
		used += kBlock;
	}
	PackedXstate kept(free_.first(used), size);
	free_ = free_.subspan(used);
	return kept;
}

} // namespace bpfckpt::target
