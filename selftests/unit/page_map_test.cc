// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Page maps of this process, whose pages we know.
#include "selftests/scenarios/zero_page.h"
#include "user/memory/page_map.h"

#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "user/util/io.h"
#include "user/util/mapping.h"

namespace bpfckpt::memory {

namespace {

constexpr int kGuardInstall = 102; // MADV_GUARD_INSTALL, since v6.13

class PageMapTest : public testing::TestWithParam<bool> {
protected:
	void map(size_t pages, int fd = -1)
	{
		int flags = MAP_PRIVATE | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
		auto mapping = Mapping::create(pages * kPageSize, PROT_READ | PROT_WRITE, flags, fd);
		ASSERT_TRUE(mapping);
		mapping_ = std::move(*mapping);
		madvise(mapping_.data(), mapping_.size(), MADV_NOHUGEPAGE);
	}
	volatile char &page(size_t index) { return static_cast<volatile char *>(mapping_.data())[index * kPageSize]; }
	void read_page(size_t index) { [[maybe_unused]] char byte = page(index); }
	char *address(size_t index) { return static_cast<char *>(mapping_.data()) + index * kPageSize; }

	// Page numbers of the mapping.
	PageRanges scan(Backing backing)
	{
		PageRanges pages;
		auto start = reinterpret_cast<uint64_t>(mapping_.data());
		auto page_map = PageMap::open(getpid());
		EXPECT_TRUE(page_map);
		bool by_entry = GetParam();
		Range range = {start, start + mapping_.size()};
		EXPECT_TRUE(by_entry ? page_map->read(range, backing, pages) : page_map->scan(range, backing, pages));
		for (auto *ranges : {&pages.data, &pages.guards}) {
			for (Range &found : *ranges)
				found = {(found.start - start) / kPageSize, (found.end - start) / kPageSize};
		}
		return pages;
	}

	Mapping mapping_;
};

using Ranges = std::vector<Range>;

TEST_P(PageMapTest, only_written_pages_hold_content)
{
	map(16);
	page(2) = 1;
	page(3) = 1;
	read_page(5); // the zero page
	page(7) = 1;
	page(9) = 1;
	madvise(address(9), kPageSize, MADV_DONTNEED);
	Ranges written = {{2, 4}, {7, 8}};
	if (!selftests::has_zero_page())
		written = {{2, 4}, {5, 6}, {7, 8}};
	EXPECT_EQ(scan(Backing::kAnonymous).data, written);
	EXPECT_EQ(scan(Backing::kFile).data, written);
}

TEST_P(PageMapTest, unreadable_pages_hold_content)
{
	map(4);
	page(1) = 1;
	mprotect(address(0), 4 * kPageSize, PROT_NONE);
	EXPECT_EQ(scan(Backing::kAnonymous).data, (Ranges{{1, 2}}));
}

TEST_P(PageMapTest, the_huge_zero_page_holds_no_content)
{
	constexpr uint64_t kHuge = 2UL << 20;
	std::ifstream file("/sys/kernel/mm/transparent_hugepage/use_zero_page");
	std::string used;
	if (file >> used; used != "1")
		GTEST_SKIP() << "the huge zero page is not used here: " << used;
	if (!selftests::has_zero_page())
		GTEST_SKIP() << selftests::kNoZeroPage;
	map(2 * kHuge / kPageSize);
	size_t first = (kHuge - reinterpret_cast<uint64_t>(address(0)) % kHuge) / kPageSize;
	madvise(address(first), kHuge, MADV_HUGEPAGE);
	read_page(first + 3);
	EXPECT_TRUE(scan(Backing::kAnonymous).data.empty());
	page(first + 5) = 1;
	EXPECT_FALSE(scan(Backing::kAnonymous).data.empty());
}

TEST_P(PageMapTest, pages_of_the_file_are_left_out)
{
	auto fd = open_at(AT_FDCWD, "/proc/self/exe", O_RDONLY);
	ASSERT_TRUE(fd);
	map(4, fd->get());
	read_page(0);
	page(1) = 1;
	read_page(2);
	EXPECT_EQ(scan(Backing::kFile).data, (Ranges{{1, 2}}));
}

TEST_P(PageMapTest, guards_are_told_apart)
{
	map(8);
	page(1) = 1;
	if (madvise(address(2), 2 * kPageSize, kGuardInstall) < 0)
		GTEST_SKIP() << "no guard regions on this kernel";
	page(5) = 1;
	PageRanges pages = scan(Backing::kAnonymous);
	EXPECT_EQ(pages.data, (Ranges{{1, 2}, {5, 6}}));
	EXPECT_EQ(pages.guards, (Ranges{{2, 4}}));
}

TEST_P(PageMapTest, more_regions_than_fit_into_one_answer)
{
	constexpr size_t kPages = size_t{3} * 8192;
	map(kPages);
	for (size_t i = 0; i < kPages; i += 2)
		page(i) = 1;
	Ranges data = scan(Backing::kAnonymous).data;
	ASSERT_EQ(data.size(), kPages / 2);
	for (size_t i = 0; i < data.size(); i++)
		ASSERT_EQ(data[i], (Range{2 * i, 2 * i + 1}));
}

INSTANTIATE_TEST_SUITE_P(, PageMapTest, testing::Values(false, true),
			 [](const auto &test) { return test.param ? "by_entry" : "by_ioctl"; });

} // namespace

} // namespace bpfckpt::memory
