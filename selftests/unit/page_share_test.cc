// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Frames that a child and this process share, and what looking at them does.
#include "user/memory/page_share.h"

#include <gtest/gtest.h>

#include "selftests/unit/child.h"

namespace bpfckpt::memory {

TEST(PageShareTest, a_child_shares_what_neither_has_written_since)
{
	constexpr size_t kPages = 4;
	auto *pages = static_cast<char *>(
		mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(pages, MAP_FAILED);
	madvise(pages, kPages * kPageSize, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < kPages; i++)
		pages[i * kPageSize] = 1;
	selftests::Child child([pages](selftests::Shared &shared) {
		pages[kPageSize] = 2;
		shared.ready = true;
		for (;;)
			pause();
	});
	ASSERT_TRUE(selftests::eventually([&] { return child->ready.load(); }));
	auto ours = PageMap::open(getpid());
	auto theirs = PageMap::open(child.pid());
	ASSERT_TRUE(ours && theirs);
	auto start = reinterpret_cast<uint64_t>(pages);
	Range all = {start, start + kPages * kPageSize};
	auto shared = shared_frames(*ours, *theirs, std::span(&all, 1));
	auto with_others = frames_with_others(*theirs, std::span(&all, 1));
	ASSERT_TRUE(shared && with_others);
	std::vector<Range> expected = {{start, start + kPageSize}, {start + 2 * kPageSize, all.end}};
	EXPECT_EQ(*shared, expected);
	EXPECT_EQ(*with_others, expected);
	munmap(pages, kPages * kPageSize);
}

} // namespace bpfckpt::memory
