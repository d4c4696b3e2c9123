// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Records of files and mappings -> messages, without a kernel.
#include <climits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "iterators/file_path.h"
#include "user/collect/file.h"
#include "user/collect/memory.h"

namespace bpfckpt::collect {

class CollectFileTest : public testing::Test {
protected:
	CollectFileTest()
	{
		context_.document = &document_;
		document_.add_processes()->set_pid(10);
	}
	void collect()
	{
		collect_files({.fds = fds_, .files = files_, .locks = locks_, .sockets = sockets_, .hz = 250}, {},
			      context_);
	}
	void add_file(uint64_t address, file_kind kind)
	{
		file_record &record = files_.emplace_back();
		record.file = address;
		record.kind = kind;
	}

	images::Document document_;
	Context context_;
	std::vector<fd_record> fds_;
	std::vector<file_record> files_;
	std::vector<lock_record> locks_;
	std::vector<socket_record> sockets_;
};

TEST_F(CollectFileTest, a_file_that_is_told_twice_is_one)
{
	add_file(0x100, FILE_KIND_EVENTFD);
	add_file(0x100, FILE_KIND_EVENTFD);
	add_file(0, FILE_KIND_EVENTFD);
	fds_.push_back({.file = 0x100, .files = 0x200, .pid = 10, .tid = 10, .fd = 3, .cloexec = 1});
	collect();
	ASSERT_EQ(document_.files_size(), 1);
	EXPECT_EQ(document_.files(0).references(), 1u);
	ASSERT_EQ(document_.processes(0).files_size(), 1);
	EXPECT_EQ(document_.processes(0).files(0).file(), document_.files(0).id());
}

TEST_F(CollectFileTest, a_lock_without_its_file_is_a_finding)
{
	lock_record &lock = locks_.emplace_back();
	lock.file = 0x100;
	lock.kind = LOCK_FLOCK;
	collect();
	ASSERT_EQ(context_.findings.size(), 1u);
	EXPECT_EQ(context_.findings[0].code, Code::kInternal);
}

TEST_F(CollectFileTest, timeouts_of_sockets)
{
	add_file(0x100, FILE_KIND_SOCKET);
	socket_record &socket = sockets_.emplace_back();
	socket.file = 0x100;
	socket.family = AF_UNIX;
	socket.receive_timeo = 375;
	socket.send_timeo = uint64_t{1} << 60; // SO_SNDTIMEO of 146 million years is allowed
	socket.options = SOCKET_LINGER;
	socket.linger = 500;
	collect();
	const images::SocketOptions &options = document_.files(0).socket().options();
	EXPECT_EQ(options.receive_timeout_ns(), 1'500'000'000);
	EXPECT_EQ(options.send_timeout_ns(), INT64_MAX);
	EXPECT_EQ(options.linger(), 2u);
}

TEST_F(CollectFileTest, a_kind_that_nobody_knows)
{
	add_file(0x100, static_cast<file_kind>(31));
	collect();
	EXPECT_EQ(document_.files(0).kind(), "unknown");
}

TEST(FilePathTest, names_leaf_first)
{
	std::string names("x\0b\0a\0", 6);
	file_record record = {};
	record.names = 2;
	record.name_count = 2;
	EXPECT_EQ(iterators::path_of(record, names), "/a/b");
	record.name_count = UINT32_MAX; // ends with the names
	EXPECT_EQ(iterators::path_of(record, names), "/a/b");
	record.names = 6;
	EXPECT_EQ(iterators::path_of(record, names), "/");
}

TEST(CollectMemoryTest, text_and_vectors_end_with_their_fields)
{
	std::vector<mm_record> mms(1);
	mms[0].mm = 0x100;
	mms[0].auxv = 1;
	std::vector<mm_auxv_record> auxvs(1);
	auxvs[0].count = UINT32_MAX;
	std::ranges::fill(auxvs[0].words, 1);
	std::vector<vma_record> vmas(1);
	vmas[0].start = 0x1000;
	vmas[0].end = 0x2000;
	std::vector<vma_name_record> names(1);
	std::ranges::fill(names[0].name, 'n');
	vmas[0].name = 1;
	std::vector<iterators::AddressSpace> spaces = {{.mm = mms.data(), .vmas = vmas, .pids = {10}, .tid = 10}};

	images::Document document;
	Context context;
	context.document = &document;
	ASSERT_TRUE(collect_memory({.spaces = spaces, .names = names, .auxvs = auxvs}, nullptr, context));
	ASSERT_EQ(document.memory_size(), 1);
	EXPECT_EQ(document.memory(0).layout().auxv().size(), MM_AUXV_WORDS * sizeof(uint64_t));
	EXPECT_EQ(document.memory(0).vmas(0).name().size(), size_t{VMA_NAME_SIZE});
}

} // namespace bpfckpt::collect
