// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a child gets by fork: pages that are one copy in the images, in mappings of one kind.
#include "user/restore/memory_fork.h"

#include <gtest/gtest.h>

namespace bpfckpt::restore {

using memory::Range;

static images::Vma &add_vma(images::Memory &memory, uint64_t start, uint64_t end)
{
	images::Vma &vma = *memory.add_vmas();
	vma.set_start(start);
	vma.set_end(end);
	return vma;
}

static void add_pages(images::Memory &memory, uint64_t start, uint64_t length, uint64_t offset)
{
	images::PageRun &run = *memory.add_pages();
	run.set_start(start);
	run.set_length(length);
	run.set_offset(offset);
}

TEST(RestoreMemoryFork, a_heap_that_grew_is_shared_as_far_as_it_was_one)
{
	images::Memory creator;
	images::Memory child;
	add_vma(creator, 0x10000, 0x20000);
	add_vma(child, 0x10000, 0x30000);
	add_pages(creator, 0x10000, 0x8000, 0);
	add_pages(child, 0x10000, 0x2000, 0);      // the same
	add_pages(child, 0x12000, 0x1000, 0x9000); // written since
	add_pages(child, 0x13000, 0x5000, 0x3000); // the same
	add_pages(child, 0x20000, 0x10000, 0x100000);
	std::vector<ForkedPart> parts = forked_parts(creator, child);
	ASSERT_EQ(parts.size(), 1u);
	EXPECT_EQ(parts[0].range, (Range{0x10000, 0x20000}));
	EXPECT_EQ(parts[0].pages, (std::vector<Range>{{0x10000, 0x12000}, {0x13000, 0x18000}}));
}

TEST(RestoreMemoryFork, other_mappings_are_not_shared)
{
	images::Memory creator;
	images::Memory child;
	add_vma(creator, 0x10000, 0x20000);
	add_vma(child, 0x10000, 0x1f000).set_file(3);
	add_vma(creator, 0x20000, 0x30000).add_advice("gd"); // a stack that has grown in the child
	add_vma(child, 0x1f000, 0x30000).add_advice("gd");
	add_pages(creator, 0x10000, 0x20000, 0);
	add_pages(child, 0x10000, 0x20000, 0);
	EXPECT_TRUE(forked_parts(creator, child).empty());
}

} // namespace bpfckpt::restore
