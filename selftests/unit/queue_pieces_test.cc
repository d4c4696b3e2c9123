// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where the content of a queue lies -> its messages, without a kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "user/collect/queue_pieces.h"
#include "user/util/page.h"

namespace bpfckpt::collect {

using testing::ElementsAre;
using testing::HasSubstr;

static constexpr uint64_t kContents = 16 * kPageSize; // where the content of frame 0 is
static constexpr uint64_t kPageBytes = 64;            // sizeof(struct page)
static constexpr uint64_t kMost = 1 << 20;

static queue_piece_record piece(uint64_t page, uint64_t start, uint32_t length, uint32_t message = 0)
{
	queue_piece_record record = {};
	record.page = page;
	record.start = start;
	record.length = length;
	record.message = message;
	return record;
}

class QueuePiecesTest : public testing::Test {
protected:
	Result<QueuePieces> place(uint64_t most = kMost) const
	{
		return QueuePieces::place(pieces_, lengths_, iterators::PageFrames(0, kPageBytes, kContents), most);
	}
	std::string refusal(uint64_t most = kMost) const
	{
		auto placed = place(most);
		return placed ? "" : placed.error().message;
	}
	// Each page is full of its own letter.
	static std::vector<std::byte> content_of(std::span<const uint64_t> pages)
	{
		std::vector<std::byte> content;
		for (uint64_t page : pages)
			content.insert(content.end(), kPageSize, static_cast<std::byte>('a' + page / kPageSize % 26));
		return content;
	}

	std::vector<queue_piece_record> pieces_;
	std::vector<uint32_t> lengths_;
};

TEST_F(QueuePiecesTest, nothing_is_nothing)
{
	auto placed = place();
	ASSERT_TRUE(placed);
	EXPECT_TRUE(placed->pages().empty());
	EXPECT_TRUE(placed->messages({}).empty());
}

TEST_F(QueuePiecesTest, pages_are_read_once_and_in_order)
{
	pieces_ = {
		piece(3 * kPageBytes, 4090, 8, 0),
		piece(0, kContents + 5, 2, 0),
		piece(3 * kPageBytes, 0, 1, 2),
	};
	lengths_ = {10, 0, 1};
	auto placed = place();
	ASSERT_TRUE(placed) << refusal();
	EXPECT_THAT(placed->pages(), ElementsAre(kContents, kContents + 3 * kPageSize, kContents + 4 * kPageSize));
	// Frame 0 is at page 16 of memory: 'q'.
	EXPECT_THAT(placed->messages(content_of(placed->pages())), ElementsAre("ttttttuuqq", "", "t"));
}

TEST_F(QueuePiecesTest, the_first_of_many_pages_leads_to_all)
{
	pieces_ = {piece(0, kContents + kPageSize - 1, 2 * kPageSize)};
	lengths_ = {2 * kPageSize};
	auto placed = place();
	ASSERT_TRUE(placed) << refusal();
	EXPECT_EQ(placed->pages().size(), 3u);
	EXPECT_EQ(placed->messages(content_of(placed->pages()))[0],
		  "q" + std::string(kPageSize, 'r') + std::string(kPageSize - 1, 's'));
}

TEST_F(QueuePiecesTest, what_differs_from_the_count_is_refused)
{
	pieces_ = {piece(kPageBytes, 0, 5)};
	EXPECT_THAT(refusal(), HasSubstr("more messages"));
	lengths_ = {6};
	EXPECT_THAT(refusal(), HasSubstr("other lengths"));
	lengths_ = {5, 1};
	EXPECT_THAT(refusal(), HasSubstr("other lengths"));
	lengths_ = {5};
	EXPECT_EQ(refusal(), "");
}

TEST_F(QueuePiecesTest, what_cannot_be_read_says_why)
{
	pieces_ = {piece(kPageBytes, 0, 5)};
	lengths_ = {5};
	EXPECT_EQ(refusal(kPageSize), "");
	EXPECT_THAT(refusal(kPageSize - 1), HasSubstr("more than is read"));
	EXPECT_THAT(refusal(4), HasSubstr("more than is read"));
	pieces_[0].problem = QUEUE_STALE;
	EXPECT_THAT(refusal(), HasSubstr("not been read from the disk"));
	pieces_[0].problem = QUEUE_ZERO_COPY;
	EXPECT_THAT(refusal(), HasSubstr("lent"));
	pieces_[0].problem = QUEUE_NO_PAGE;
	EXPECT_THAT(refusal(), HasSubstr("no page"));
}

TEST_F(QueuePiecesTest, memory_beyond_the_end_is_refused)
{
	pieces_ = {piece(0, UINT64_MAX - 2, 5)};
	lengths_ = {5};
	EXPECT_THAT(refusal(), HasSubstr("no place"));
}

} // namespace bpfckpt::collect
