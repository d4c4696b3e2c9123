// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// show on what is not, or no longer, a checkpoint: exit 6, and the file is named.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "selftests/fault/fault_test.h"
#include "selftests/scenarios/process.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

constexpr int kCorrupt = 6;

class FaultImages : public Fault {
protected:
	void SetUp() override
	{
		Fault::SetUp();
		ASSERT_TRUE(target_.start("fault/fault_memory", {"1"}));
		DumpResult dumped = target_.dump({"-R"});
		ASSERT_EQ(dumped.exit, 0);
		good_ = dumped.dir;
		for (const auto &file : fs::directory_iterator(good_))
			names_.push_back(file.path().filename());
		std::ranges::sort(names_);
		ASSERT_FALSE(names_.empty());
	}

	// A copy of the checkpoint with one file changed; show must name it.
	template <class Change>
	void expect_found(const std::string &name, const std::string &how, Change change)
	{
		SCOPED_TRACE(name + " " + how);
		std::string dir = target_.new_image_dir();
		fs::copy(good_, dir, fs::copy_options::recursive);
		fs::permissions(dir, fs::perms::owner_all);
		change(fs::path(dir) / name);
		Output shown = bpfckpt({"show", dir});
		EXPECT_EQ(shown.exit, kCorrupt) << shown.err;
		EXPECT_NE(shown.err.find(name), std::string::npos) << shown.err;
		fs::remove_all(dir);
	}

	Scenario target_;
	std::string good_;
	std::vector<std::string> names_;
};

static void flip_byte(const fs::path &file, uintmax_t offset)
{
	std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
	stream.seekg(static_cast<std::streamoff>(offset));
	char byte = static_cast<char>(stream.get() ^ 0x40);
	stream.seekp(static_cast<std::streamoff>(offset));
	stream.put(byte);
}

TEST_F(FaultImages, whole_is_shown)
{
	EXPECT_EQ(bpfckpt({"show", good_}).exit, 0);
}

TEST_F(FaultImages, truncated_file_is_named)
{
	for (const std::string &name : names_) {
		uintmax_t size = fs::file_size(fs::path(good_) / name);
		for (uintmax_t left : {uintmax_t{0}, size / 2, size - 1}) {
			if (left < size)
				expect_found(name, "cut to " + std::to_string(left),
					     [&](const fs::path &file) { fs::resize_file(file, left); });
		}
	}
}

TEST_F(FaultImages, altered_file_is_named)
{
	for (const std::string &name : names_) {
		uintmax_t size = fs::file_size(fs::path(good_) / name);
		for (unsigned i = 0; size && i < 5; i++) {
			uintmax_t offset = std::min(size - 1, size * i / 4);
			expect_found(name, "altered at " + std::to_string(offset),
				     [&](const fs::path &file) { flip_byte(file, offset); });
		}
	}
}

TEST_F(FaultImages, missing_file_is_named)
{
	for (const std::string &name : names_)
		expect_found(name, "removed", [](const fs::path &file) { fs::remove(file); });
}

TEST_F(FaultImages, longer_file_is_named)
{
	for (const std::string &name : names_)
		expect_found(name, "longer",
			     [](const fs::path &file) { std::ofstream(file, std::ios::app) << "more"; });
}

TEST_F(FaultImages, link_instead_of_a_file_is_named)
{
	for (const std::string &name : names_)
		expect_found(name, "a link", [&](const fs::path &file) {
			fs::remove(file);
			fs::create_symlink(fs::path(good_) / name, file);
		});
}

TEST_F(FaultImages, files_of_two_checkpoints_do_not_mix)
{
	ASSERT_TRUE(target_.go());
	DumpResult other = target_.dump({"-R"});
	ASSERT_EQ(other.exit, 0);
	for (const std::string &name : names_) {
		if (slurp(good_ + "/" + name) == slurp(other.dir + "/" + name))
			continue;
		SCOPED_TRACE(name);
		std::string dir = target_.new_image_dir();
		fs::copy(good_, dir);
		fs::permissions(dir, fs::perms::owner_all);
		fs::copy_file(fs::path(other.dir) / name, fs::path(dir) / name, fs::copy_options::overwrite_existing);
		EXPECT_EQ(bpfckpt({"show", dir}).exit, kCorrupt);
	}
}

TEST_F(FaultImages, garbage_is_no_checkpoint)
{
	std::string dir = target_.new_image_dir();
	fs::create_directory(dir);
	EXPECT_EQ(bpfckpt({"show", dir}).exit, kCorrupt) << "an empty directory";
	std::ofstream(dir + "/garbage") << std::string(100000, 'x');
	EXPECT_EQ(bpfckpt({"show", dir}).exit, kCorrupt) << "garbage";
	EXPECT_NE(bpfckpt({"show", dir + "/garbage"}).exit, 0) << "a file";
	EXPECT_NE(bpfckpt({"show", dir + "/nothing"}).exit, 0) << "nothing";
	EXPECT_EQ(bpfckpt({"show"}).exit, 2) << "no argument";
}

} // namespace bpfckpt::selftests
