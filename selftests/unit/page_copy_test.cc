// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Copies of pages of a child of ours, which is stopped.
#include "user/memory/page_copy.h"

#include <atomic>
#include <csignal>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "user/memory/shared_object.h"
#include "user/util/io.h"
#include "user/util/mapping.h"

namespace bpfckpt::memory {

namespace {

class PageCopyTest : public testing::Test {
protected:
	static constexpr size_t kPages = 2048; // enough for several threads

	void SetUp() override
	{
		out_.reset(memfd_create("pages", MFD_CLOEXEC));
		auto mapping = Mapping::create(kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		ASSERT_TRUE(mapping);
		mapping_ = std::move(*mapping);
		for (size_t i = 0; i < mapping_.size(); i++)
			mapping_.bytes()[i] = static_cast<std::byte>(i / kPageSize * 7 + i);
		child_ = fork();
		if (child_ == 0) {
			mprotect(static_cast<char *>(mapping_.data()) + 8 * kPageSize, kPageSize, PROT_NONE);
			munmap(static_cast<char *>(mapping_.data()) + 9 * kPageSize, kPageSize);
			prepare();
			raise(SIGSTOP);
			_exit(0);
		}
		waitpid(child_, nullptr, WUNTRACED);
		// As of a dump: there are kernels on which nobody else reads what is protected.
		ASSERT_EQ(ptrace(PTRACE_SEIZE, child_, 0, 0), 0);
	}
	// In the child.
	virtual void prepare() const {}
	void TearDown() override
	{
		kill(child_, SIGKILL);
		waitpid(child_, nullptr, 0);
	}
	Range pages(size_t first, size_t count) const
	{
		auto start = reinterpret_cast<uint64_t>(mapping_.data());
		return {start + first * kPageSize, start + (first + count) * kPageSize};
	}
	// `out_` at `offset` is what the pages hold.
	void expect_pages(uint64_t offset, size_t first, size_t count) const
	{
		std::vector<std::byte> bytes(count * kPageSize);
		ASSERT_TRUE(pread_exact(out_.get(), bytes, static_cast<off_t>(offset)));
		EXPECT_TRUE(std::ranges::equal(bytes, mapping_.bytes().subspan(first * kPageSize, bytes.size())))
			<< "page " << first;
	}

	Mapping mapping_;
	UniqueFd out_;
	pid_t child_ = -1;
	PageCopy copy_;
};

TEST_F(PageCopyTest, many_small_ranges_stay_in_order)
{
	PageCopy::Source source = copy_.add_process(child_);
	for (size_t i = 0; i < 8; i += 2)
		EXPECT_EQ(copy_.add(source, pages(i, 1)), i / 2 * kPageSize);
	ASSERT_TRUE(copy_.run(out_.get()));
	EXPECT_EQ(copy_.bytes(), 4 * kPageSize);
	for (size_t i = 0; i < 8; i += 2)
		expect_pages(i / 2 * kPageSize, i, 1);
}

TEST_F(PageCopyTest, large_ranges_are_copied_in_parts)
{
	PageCopy::Source source = copy_.add_process(child_);
	copy_.add(source, pages(0, 3));
	uint64_t offset = copy_.add(source, pages(10, kPages - 10));
	ASSERT_TRUE(copy_.run(out_.get()));
	expect_pages(0, 0, 3);
	expect_pages(offset, 10, kPages - 10);
}

TEST_F(PageCopyTest, what_is_staged_is_written_later)
{
	PageCopy copy;
	auto source = copy.add_process(child_);
	copy.add(source, pages(16, 1024));
	copy.stage(100 * kPageSize + 5);
	ASSERT_TRUE(copy.run(out_.get()));
	expect_pages(512 * kPageSize, 16 + 512, 512);
	std::byte first{0xff};
	ASSERT_TRUE(pread_exact(out_.get(), std::span(&first, 1), 0));
	EXPECT_EQ(first, std::byte{});
	ASSERT_TRUE(copy.write_staged(out_.get()));
	expect_pages(0, 16, 1024);
}

TEST_F(PageCopyTest, whoever_may_not_go_on_stops)
{
	copy_.add(copy_.add_process(child_), pages(16, kPages - 16));
	std::atomic<int> asked = 0;
	Result<> done = copy_.run(out_.get(), [&asked]() -> Result<> {
		if (++asked > 2)
			return Error(Code::kBusy, "interrupted");
		return {};
	});
	ASSERT_FALSE(done);
	EXPECT_EQ(done.error().message, "interrupted");
	EXPECT_LT(asked, 8);
}

TEST_F(PageCopyTest, more_room_than_pages_is_no_matter)
{
	PageCopy copy;
	auto source = copy.add_process(child_);
	copy.add(source, pages(16, 3));
	copy.stage(64 * kPageSize);
	ASSERT_TRUE(copy.run(out_.get()));
	ASSERT_TRUE(copy.write_staged(out_.get()));
	expect_pages(0, 16, 3);
	EXPECT_EQ(lseek(out_.get(), 0, SEEK_END), static_cast<off_t>(3 * kPageSize));
}

TEST_F(PageCopyTest, protected_pages_are_read)
{
	PageCopy::Source source = copy_.add_process(child_);
	copy_.add(source, pages(7, 1));
	uint64_t offset = copy_.add(source, pages(8, 1), true);
	ASSERT_TRUE(copy_.run(out_.get()));
	expect_pages(offset, 8, 1);
}

class ProtectedPageCopyTest : public PageCopyTest {
protected:
	void prepare() const override
	{
		mprotect(static_cast<char *>(mapping_.data()) + 10 * kPageSize, (kPages - 10) * kPageSize, PROT_NONE);
	}
};

TEST_F(ProtectedPageCopyTest, more_than_one_thread_reads)
{
	uint64_t offset = copy_.add(copy_.add_process(child_), pages(10, kPages - 10), true);
	ASSERT_TRUE(copy_.run(out_.get()));
	expect_pages(offset, 10, kPages - 10);
}

TEST_F(PageCopyTest, a_page_that_cannot_be_read_is_named)
{
	copy_.add(copy_.add_process(child_), pages(7, 4));
	Result<> done = copy_.run(out_.get());
	ASSERT_FALSE(done);
	EXPECT_EQ(done.error().object, fmt::format("pid {}", child_));
	EXPECT_NE(done.error().message.find(fmt::format("{:#x}", pages(9, 1).start)), std::string::npos)
		<< done.error().message;
}

TEST_F(PageCopyTest, a_full_disk_is_an_error)
{
	auto full = open_at(AT_FDCWD, "/dev/full", O_WRONLY);
	ASSERT_TRUE(full);
	copy_.add(copy_.add_process(child_), pages(0, 4));
	Result<> done = copy_.run(full->get());
	ASSERT_FALSE(done);
	EXPECT_EQ(done.error().code, Code::kLimit);
}

TEST_F(PageCopyTest, the_last_page_of_an_object_is_filled_with_zeros)
{
	UniqueFd object(memfd_create("object", MFD_CLOEXEC));
	ASSERT_EQ(ftruncate(object.get(), 64 * kPageSize), 0);
	ASSERT_EQ(pwrite(object.get(), "first", 5, 16 * kPageSize), 5);
	ASSERT_EQ(ftruncate(object.get(), 64 * kPageSize + 3), 0);
	ASSERT_EQ(pwrite(object.get(), "end", 3, 64 * kPageSize), 3);
	auto data = find_data(object.get());
	ASSERT_TRUE(data);
	ASSERT_EQ(*data, (std::vector<Range>{{16 * kPageSize, 17 * kPageSize}, {64 * kPageSize, 65 * kPageSize}}));
	PageCopy::Source source = copy_.add_object(std::move(object), "/memfd:object");
	for (const Range &range : *data)
		copy_.add(source, range);
	ASSERT_TRUE(copy_.run(out_.get()));
	std::vector<std::byte> bytes(2 * kPageSize);
	ASSERT_TRUE(pread_exact(out_.get(), bytes, 0));
	std::vector<std::byte> expected(2 * kPageSize);
	memcpy(expected.data(), "first", 5);
	memcpy(expected.data() + kPageSize, "end", 3);
	EXPECT_EQ(bytes, expected);
}

} // namespace

} // namespace bpfckpt::memory
