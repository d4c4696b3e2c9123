// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/show.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "images/directory_writer.h"
#include "selftests/unit/sample_document.h"
#include "selftests/unit/temporary_directory.h"
#include "user/util/io.h"

namespace bpfckpt::cli {

using testing::HasSubstr;
using testing::StartsWith;

namespace {

class ShowTest : public testing::Test {
protected:
	struct Outcome {
		int status;
		std::string output;
		std::string errors;
	};

	void SetUp() override
	{
		images::DirectoryWriter writer = images::DirectoryWriter::create(path()).value();
		int pages = writer.raw_file("pages.img").value();
		ASSERT_TRUE(write_all(pages, as_bytes(std::string(test::kSamplePagesSize, 'p'))));
		ASSERT_TRUE(writer.add(test::sample_document()));
		images::Manifest manifest;
		manifest.set_root_pid(4711);
		ASSERT_TRUE(writer.commit(std::move(manifest)));
	}

	[[nodiscard]] std::string path() const { return root_ / "c"; }

	static Outcome show(const ShowOptions &options)
	{
		testing::internal::CaptureStdout();
		testing::internal::CaptureStderr();
		int status = run_show(options);
		return {status, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
	}

	test::TemporaryDirectory root_;
};

} // namespace

TEST_F(ShowTest, prints_what_the_checkpoint_holds)
{
	Outcome outcome = show({.directory = path(), .sections = {.rings = true}, .json = false});
	EXPECT_EQ(outcome.status, 0);
	EXPECT_THAT(outcome.output, HasSubstr("of pid 4711"));
	EXPECT_THAT(outcome.output, HasSubstr("IORING_OP_ACCEPT"));
	EXPECT_EQ(outcome.errors, "");
}

TEST_F(ShowTest, prints_nothing_but_json)
{
	Outcome outcome = show({.directory = path(), .sections = {}, .json = true});
	EXPECT_EQ(outcome.status, 0);
	EXPECT_THAT(outcome.output, StartsWith("{\n \"version\": 1,\n \"command\": \"show\""));
}

TEST_F(ShowTest, an_altered_file_is_named_and_exits_6)
{
	UniqueFd fd = open_at(AT_FDCWD, path() + "/uring.img", O_WRONLY).value();
	ASSERT_EQ(::pwrite(fd.get(), "x", 1, 40), 1);
	Outcome outcome = show({.directory = path(), .sections = {}, .json = false});
	EXPECT_EQ(outcome.status, 6);
	EXPECT_EQ(outcome.output, "");
	EXPECT_THAT(outcome.errors, HasSubstr("/c/uring.img: is altered"));
}

TEST_F(ShowTest, what_is_no_checkpoint_exits_6)
{
	for (const std::string &what : {root_.path(), root_ / "nowhere", path() + "/task.img"}) {
		Outcome outcome = show({.directory = what, .sections = {}, .json = false});
		EXPECT_EQ(outcome.status, 6) << what;
		EXPECT_THAT(outcome.errors, HasSubstr(what));
	}
}

TEST_F(ShowTest, a_full_output_is_an_error)
{
	UniqueFd full = open_at(AT_FDCWD, "/dev/full", O_WRONLY).value();
	int saved = ::dup(STDOUT_FILENO);
	testing::internal::CaptureStderr();
	::dup2(full.get(), STDOUT_FILENO);
	int status = run_show({.directory = path(), .sections = {}, .json = false});
	::dup2(saved, STDOUT_FILENO);
	::close(saved);
	EXPECT_EQ(status, 1);
	EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("No space left on device"));
}

} // namespace bpfckpt::cli
