// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/directory_writer.h"

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "images/directory_reader.h"
#include "selftests/unit/temporary_directory.h"
#include "selftests/unit/test_checkpoint.h"

namespace bpfckpt::images {

using test::TemporaryDirectory;

TEST(DirectoryWriterTest, leaves_nothing_without_commit)
{
	TemporaryDirectory root;
	{
		DirectoryWriter writer = DirectoryWriter::create(root / "c/").value();
		write_pages(writer);
		ASSERT_TRUE(writer.add(test::sample_document()));
	}
	EXPECT_TRUE(files_in(root.path()).empty());
}

TEST(DirectoryWriterTest, what_completes_a_thread_is_in_the_image_and_not_in_the_document)
{
	TemporaryDirectory root;
	Document document = test::sample_document();
	const std::string before = document.SerializeAsString();
	DirectoryWriter writer = DirectoryWriter::create(root / "c").value();
	write_pages(writer);
	// A comm that is encoded, and threads that are more than one flush.
	ASSERT_TRUE(writer.add(document, {.thread = [](const Process &, Thread &thread) {
				       thread.set_comm("back\\slash");
				       thread.set_xstate(std::string(40'000, static_cast<char>(thread.tid())));
			       }}));
	EXPECT_EQ(document.SerializeAsString(), before);
	ASSERT_TRUE(writer.commit(Manifest()));
	CheckpointImages images = read_checkpoint(root / "c").value();
	ASSERT_EQ(images.document.processes_size(), document.processes_size());
	for (const Process &process : images.document.processes())
		for (const Thread &thread : process.threads()) {
			EXPECT_EQ(thread.comm(), "back\\slash");
			EXPECT_EQ(thread.xstate(), std::string(40'000, static_cast<char>(thread.tid())));
		}
}

TEST(DirectoryWriterTest, what_others_own_is_not_taken)
{
	TemporaryDirectory root;
	ASSERT_EQ(chown(root.path().c_str(), 65534, 65534), 0);
	Result<DirectoryWriter> refused = DirectoryWriter::create(root.path());
	ASSERT_FALSE(refused);
	EXPECT_EQ(refused.error().code, Code::kPermission);
	EXPECT_EQ(refused.error().message, "belongs to uid 65534, not to the caller");
	ASSERT_EQ(chown(root.path().c_str(), geteuid(), getegid()), 0);
}

TEST(DirectoryWriterTest, what_others_can_write_to_is_made_private_for_a_checkpoint)
{
	using std::filesystem::perms;
	TemporaryDirectory root;
	auto permissions = [&] { return std::filesystem::status(root.path()).permissions(); };
	std::filesystem::permissions(root.path(), perms::all);
	{
		DirectoryWriter writer = DirectoryWriter::create(root.path()).value();
		EXPECT_EQ(permissions(), perms::owner_all);
	}
	EXPECT_EQ(permissions(), perms::all) << "nothing has been written";
}

TEST(DirectoryWriterTest, keeps_an_empty_directory_that_was_there)
{
	TemporaryDirectory root;
	{
		DirectoryWriter writer = DirectoryWriter::create(root.path()).value();
		write_pages(writer);
	}
	EXPECT_TRUE(files_in(root.path()).empty());
	EXPECT_TRUE(write_checkpoint(root.path(), test::sample_document()));
	EXPECT_TRUE(read_checkpoint(root.path()));
}

TEST(DirectoryWriterTest, refuses_what_it_would_spoil)
{
	TemporaryDirectory root;
	ASSERT_TRUE(write_checkpoint(root / "c", test::sample_document()));
	EXPECT_EQ(DirectoryWriter::create(root / "c").error().code, Code::kUsage);
	EXPECT_TRUE(read_checkpoint(root / "c")) << "the refusal must not touch it";
	std::filesystem::create_directory(root / "empty");
	std::filesystem::create_directory_symlink(root / "empty", root / "link");
	EXPECT_EQ(DirectoryWriter::create(root / "link").error().code, Code::kUsage);
	EXPECT_EQ(DirectoryWriter::create(root / "c/task.img").error().code, Code::kUsage);
	EXPECT_EQ(DirectoryWriter::create(root / "no/where").error().sys_errno, ENOENT);
}

TEST(DirectoryWriterTest, two_at_once_do_not_mix)
{
	TemporaryDirectory root;
	std::filesystem::create_directory(root / "c");
	DirectoryWriter first = DirectoryWriter::create(root / "c").value();
	EXPECT_FALSE(DirectoryWriter::create(root / "c"));
	write_pages(first);
	ASSERT_TRUE(first.add(test::sample_document()));
	ASSERT_TRUE(first.commit({}));
	EXPECT_TRUE(read_checkpoint(root / "c"));
}

TEST(DirectoryWriterTest, killed_before_the_end_is_no_checkpoint)
{
	TemporaryDirectory root;
	int status = in_child([&] {
		DirectoryWriter writer = DirectoryWriter::create(root / "c").value();
		write_pages(writer);
		(void)writer.add(test::sample_document());
		return ::raise(SIGKILL);
	});
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(read_checkpoint(root / "c").error().code, Code::kCorrupt);
}

TEST(DirectoryWriterTest, a_full_disk_is_a_limit_with_the_path_and_leaves_nothing)
{
	if (::geteuid() != 0)
		GTEST_SKIP() << "mounting needs root";
	TemporaryDirectory root;
	int status = in_child([&] {
		if (::unshare(CLONE_NEWNS) || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) ||
		    ::mount("none", root.path().c_str(), "tmpfs", 0, "size=256k"))
			return 2;
		File file;
		file.set_path(std::string(1000, 'x'));
		for (int records : {100, 10000}) {
			Result<> result;
			{
				DirectoryWriter writer = DirectoryWriter::create(root / "c").value();
				for (int i = 0; i < records && result; i++)
					result = writer.add(file);
				// With few records everything is still in the buffer: the disk is full at commit.
				if (result && records < 1000) {
					std::string rest(size_t{220} << 10, 'y');
					int pages = writer.raw_file("pages.img").value();
					if (!write_all(pages, as_bytes(rest)))
						return 3;
					Result<Manifest> manifest = writer.commit({});
					if (!manifest)
						result = std::move(manifest).error();
				}
			}
			if (result || result.error().code != Code::kLimit ||
			    result.error().object != root / "c/file.img")
				return 4;
			if (!files_in(root.path()).empty())
				return 5;
		}
		return 0;
	});
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
}

} // namespace bpfckpt::images
