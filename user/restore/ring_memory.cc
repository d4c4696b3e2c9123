// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_memory.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include <sys/mman.h>

namespace bpfckpt::restore {

Result<RingMemory> RingMemory::map(int fd, size_t size, uint64_t offset)
{
	RingMemory memory;
	memory.mapping_ =
		TRY(Mapping::create(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset)));
	memory.size_ = size;
	return memory;
}

void RingMemory::write(size_t at, std::span<const std::byte> bytes) const
{
	if (owner_)
		(void)owner_->write(address_ + at, bytes);
	else
		memcpy(static_cast<std::byte *>(mapping_.data()) + at, bytes.data(), bytes.size());
}

void RingMemory::read(size_t at, std::span<std::byte> bytes) const
{
	std::ranges::fill(bytes, std::byte{});
	if (owner_)
		(void)owner_->read(address_ + at, bytes);
	else
		memcpy(bytes.data(), static_cast<std::byte *>(mapping_.data()) + at, bytes.size());
}

void RingMemory::clear() const
{
	write(0, std::vector<std::byte>(size_));
}

uint32_t RingMemory::load(size_t at) const
{
	if (owner_)
		return get<uint32_t>(at);
	auto *word = reinterpret_cast<uint32_t *>(static_cast<std::byte *>(mapping_.data()) + at);
	return std::atomic_ref<uint32_t>(*word).load(std::memory_order_acquire);
}

void RingMemory::store(size_t at, uint32_t value) const
{
	if (owner_)
		return write(at, std::as_bytes(std::span(&value, 1)));
	auto *word = reinterpret_cast<uint32_t *>(static_cast<std::byte *>(mapping_.data()) + at);
	std::atomic_ref<uint32_t>(*word).store(value, std::memory_order_release);
}

} // namespace bpfckpt::restore
