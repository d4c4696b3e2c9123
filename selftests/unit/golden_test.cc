// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A checkpoint of each format version stays readable, and means what it meant. A new one is written with
// `GOLDEN=DIR unit_tests --gtest_also_run_disabled_tests --gtest_filter=GoldenTest.DISABLED_write`.
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "images/digest.h"
#include "images/directory_reader.h"
#include "images/directory_writer.h"
#include "images/format.h"
#include "selftests/unit/sample_document.h"
#include "user/cli/view.h"
#include "user/util/io.h"

namespace bpfckpt::images {

namespace {

// Tests run at the top of the tree.
constexpr const char *kVersion1 = "selftests/unit/golden/v1";

// What this machine is called is nobody's business.
void forget_origin(const std::string &path)
{
	Manifest manifest = read_checkpoint(path).value().manifest;
	manifest.set_kernel_release("6.1.0");
	Header header{kMagic, kFormatVersion, static_cast<uint32_t>(Kind::kManifest)};
	std::string bytes(reinterpret_cast<const char *>(&header), sizeof(header));
	bytes += manifest.SerializeAsString();
	bytes += std::string(digest_of(as_bytes(bytes)).view());
	UniqueFd fd = open_at(AT_FDCWD, path + "/manifest.img", O_WRONLY | O_TRUNC).value();
	ASSERT_TRUE(write_all(fd.get(), as_bytes(bytes)));
}

} // namespace

TEST(GoldenTest, version_1_is_readable)
{
	Result<CheckpointImages> images = read_checkpoint(kVersion1);
	ASSERT_TRUE(images) << images.error().object << ": " << images.error().message;
	const Document &document = images->document;
	ASSERT_EQ(document.processes_size(), 1);
	EXPECT_EQ(document.processes(0).comm(), "echo-server");
	EXPECT_EQ(document.processes(0).timers(0).id(), 7u);
	EXPECT_EQ(document.files_size(), 9);
	ASSERT_EQ(document.rings_size(), 1);
	EXPECT_EQ(document.rings(0).in_flight(0).opcode(), IORING_OP_ACCEPT);
	EXPECT_EQ(document.rings(0).in_flight(1).user_data(), 0xffff'ffff'0000'0001);
	EXPECT_EQ(document.memory(0).vmas_size(), 3);
	EXPECT_EQ(images->pages_size, test::kSamplePagesSize);
	EXPECT_NE(cli::render_text(document, {}).find("IORING_OP_RECV"), std::string::npos);
}

TEST(GoldenTest, DISABLED_write)
{
	const char *path = std::getenv("GOLDEN");
	ASSERT_NE(path, nullptr);
	{
		DirectoryWriter writer = DirectoryWriter::create(path).value();
		int pages = writer.raw_file(std::string(kPagesName)).value();
		ASSERT_TRUE(write_all(pages, as_bytes(std::string(test::kSamplePagesSize, 'p'))));
		ASSERT_TRUE(writer.add(test::sample_document()));
		Manifest manifest;
		manifest.set_root_pid(4711);
		manifest.set_created_ns(1'700'000'000'000'000'000);
		ASSERT_TRUE(writer.commit(std::move(manifest)));
	}
	forget_origin(path);
}

} // namespace bpfckpt::images
