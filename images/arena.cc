// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/arena.h"

#include <new>

#include <sys/mman.h>

namespace bpfckpt::images {

static constexpr uint64_t kManyBytes = 256 << 10; // messages take several times as much
static constexpr size_t kSmallBlock = size_t{64} << 10;
static constexpr size_t kLargeBlock = size_t{2} << 20; // a huge page

static void *map_block(size_t size)
{
	void *block = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		throw std::bad_alloc();
	::madvise(block, size, MADV_HUGEPAGE);
	::madvise(block, size, MADV_DONTFORK);
	return block;
}

static void unmap_block(void *block, size_t size)
{
	::munmap(block, size);
}

std::unique_ptr<google::protobuf::Arena> make_arena(uint64_t record_bytes)
{
	google::protobuf::ArenaOptions options;
	options.start_block_size = record_bytes > kManyBytes ? kLargeBlock : kSmallBlock;
	options.max_block_size = kLargeBlock; // each is twice as large as the one before
	options.block_alloc = map_block;
	options.block_dealloc = unmap_block;
	return std::make_unique<google::protobuf::Arena>(options);
}

} // namespace bpfckpt::images
