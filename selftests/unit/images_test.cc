// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <filesystem>
#include <functional>

#include <fcntl.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/directory_reader.h"
#include "images/format.h"
#include "selftests/unit/temporary_directory.h"
#include "selftests/unit/test_checkpoint.h"
#include "user/util/io.h"

namespace bpfckpt::images {

using google::protobuf::util::MessageDifferencer;
using test::TemporaryDirectory;

namespace {

std::string contents(const std::string &path)
{
	return read_file(path).value();
}

void overwrite(const std::string &path, const std::string &bytes)
{
	UniqueFd fd = open_at(AT_FDCWD, path, O_WRONLY | O_TRUNC).value();
	ASSERT_TRUE(write_all(fd.get(), as_bytes(bytes)));
}

class Checkpoint : public testing::Test {
protected:
	void SetUp() override { ASSERT_TRUE(write_checkpoint(path(), test::sample_document())); }

	[[nodiscard]] std::string path() const { return root_ / "checkpoint"; }
	[[nodiscard]] std::string path(const std::string &name) const { return path() + "/" + name; }

	// The checkpoint is refused with `code`, and the error names `file`.
	void expect_refused(const std::string &file, Code code = Code::kCorrupt)
	{
		Result<CheckpointImages> images = read_checkpoint(path());
		ASSERT_FALSE(images) << file;
		EXPECT_EQ(images.error().code, code) << images.error().message;
		EXPECT_NE(images.error().object.find(file), std::string::npos) << images.error().object;
	}

	// Puts the manifest's own digest right again after a change to its body.
	void replace_manifest(std::string body)
	{
		body += std::string(digest_of(as_bytes(body)).view());
		overwrite(path("manifest.img"), body);
	}

	// Puts another file in the place of task.img, and its size and digest into the manifest.
	void replace_tasks(const std::string &begin, off_t size)
	{
		overwrite(path("task.img"), begin);
		UniqueFd fd = open_at(AT_FDCWD, path("task.img"), O_RDWR).value();
		ASSERT_EQ(::ftruncate(fd.get(), size), 0);
		std::string good = contents(path("manifest.img"));
		Manifest manifest = read_manifest(good);
		for (ImageFile &file : *manifest.mutable_files()) {
			if (file.name() != "task.img")
				continue;
			file.set_size(static_cast<uint64_t>(size));
			file.set_records(1);
			file.set_xxh3_128(
				std::string(digest_of_file(fd.get(), static_cast<uint64_t>(size)).value().view()));
		}
		replace_manifest(good.substr(0, sizeof(Header)) + manifest.SerializeAsString());
	}
	static Manifest read_manifest(const std::string &bytes)
	{
		Manifest manifest;
		manifest.ParseFromString(bytes.substr(sizeof(Header), bytes.size() - sizeof(Header) - Digest::kSize));
		return manifest;
	}

	// What reading says in a process that may have `room` bytes more than it has.
	void expect_refused_with_little_memory(Code code, uint64_t room = uint64_t{128} << 20)
	{
		int status = in_child([&] {
			uint64_t pages = std::stoull(contents("/proc/self/statm"));
			rlimit limit = {.rlim_cur = pages * 4096 + room, .rlim_max = RLIM_INFINITY};
			if (::setrlimit(RLIMIT_AS, &limit))
				return 1;
			Result<CheckpointImages> images = read_checkpoint(path());
			return !images && images.error().code == code ? 0 : 2;
		});
		EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
		EXPECT_EQ(WEXITSTATUS(status), 0);
	}

	// A document that the writer takes and the reader must not.
	static void expect_invalid(const std::string &file, const std::function<void(Document &)> &change)
	{
		TemporaryDirectory root;
		Document document = test::sample_document();
		change(document);
		ASSERT_TRUE(write_checkpoint(root / "c", document));
		Result<CheckpointImages> images = read_checkpoint(root / "c");
		ASSERT_FALSE(images) << file;
		EXPECT_EQ(images.error().code, Code::kCorrupt);
		EXPECT_NE(images.error().object.find(file), std::string::npos) << images.error().object;
	}

	TemporaryDirectory root_;
};

} // namespace

TEST_F(Checkpoint, what_is_read_is_what_was_written)
{
	CheckpointImages images = read_checkpoint(path()).value();
	EXPECT_TRUE(MessageDifferencer::Equals(images.document, test::sample_document()));
	EXPECT_EQ(images.pages_size, test::kSamplePagesSize);
	EXPECT_EQ(images.manifest.root_pid(), 4711u);
	EXPECT_EQ(images.manifest.processes(), 1u);
	EXPECT_EQ(images.manifest.threads(), 1u) << "threads of io_uring are not the program's";
	EXPECT_EQ(images.manifest.rings(), 1u);
	EXPECT_EQ(images.manifest.requests(), 3u);
	EXPECT_EQ(images.manifest.page_bytes(), test::kSamplePagesSize);
	std::string page(4096, '\0');
	ASSERT_EQ(::pread(images.pages.get(), page.data(), page.size(), 4096), 4096);
	EXPECT_EQ(page, std::string(4096, 'p'));
}

TEST_F(Checkpoint, thousands_of_records_keep_their_order)
{
	TemporaryDirectory root;
	Document document = test::sample_document();
	auto count = static_cast<uint32_t>(document.files_size());
	for (uint32_t id = 1; id <= 3000; id++) {
		File &file = *document.add_files();
		file.set_id(count + 1000 + id);
		file.set_path(id % 700 ? "anon_inode:[eventfd]" : "\xff, which is no UTF-8");
		file.mutable_eventfd()->set_count(id);
	}
	ASSERT_TRUE(write_checkpoint(root / "c", document));
	CheckpointImages images = read_checkpoint(root / "c").value();
	EXPECT_TRUE(MessageDifferencer::Equals(images.document, document));
}

TEST_F(Checkpoint, is_private_to_its_owner)
{
	struct stat status;
	ASSERT_EQ(::stat(path().c_str(), &status), 0);
	EXPECT_EQ(status.st_mode & 07777, 0700u);
	for (const std::string &name : files_in(path())) {
		ASSERT_EQ(::stat(path(name).c_str(), &status), 0);
		EXPECT_EQ(status.st_mode & 07777, 0600u) << name;
	}
}

TEST_F(Checkpoint, any_altered_byte_is_found_in_the_right_file)
{
	for (const std::string &name : files_in(path())) {
		std::string good = contents(path(name));
		// Every byte of the records; the pages only here and there.
		size_t step = name == kPagesName ? 509 : 1;
		for (size_t i = 0; i < good.size(); i += step) {
			std::string bad = good;
			bad[i] = static_cast<char>(bad[i] ^ 0x40);
			overwrite(path(name), bad);
			ASSERT_NO_FATAL_FAILURE(expect_refused(name)) << name << " at " << i;
		}
		overwrite(path(name), good);
	}
	EXPECT_TRUE(read_checkpoint(path()));
}

TEST_F(Checkpoint, a_truncated_or_longer_file_is_named)
{
	for (const std::string &name : files_in(path())) {
		std::string good = contents(path(name));
		size_t step = name == kPagesName ? 1021 : 1;
		for (size_t size = 0; size < good.size(); size += step) {
			overwrite(path(name), good.substr(0, size));
			ASSERT_NO_FATAL_FAILURE(expect_refused(name)) << name << " of " << size;
		}
		overwrite(path(name), good + '\0');
		expect_refused(name);
		overwrite(path(name), good);
	}
	EXPECT_TRUE(read_checkpoint(path()));
}

TEST_F(Checkpoint, a_missing_file_is_named)
{
	for (const std::string &name : files_in(path())) {
		std::filesystem::rename(path(name), root_ / "away");
		expect_refused(name == kManifestName ? "" : name);
		std::filesystem::rename(root_ / "away", path(name));
	}
	EXPECT_TRUE(read_checkpoint(path()));
}

TEST_F(Checkpoint, exchanged_files_are_found)
{
	std::filesystem::rename(path("task.img"), path("x"));
	std::filesystem::rename(path("uring.img"), path("task.img"));
	std::filesystem::rename(path("x"), path("uring.img"));
	expect_refused(".img");
}

TEST_F(Checkpoint, reordered_records_are_found)
{
	Document document = test::sample_document();
	document.mutable_files()->SwapElements(0, 1);
	ASSERT_TRUE(write_checkpoint(root_ / "other", document));
	std::filesystem::rename(root_ / "other/file.img", path("file.img"));
	expect_refused("file.img");
}

TEST_F(Checkpoint, another_format_version_is_a_mismatch_by_name)
{
	std::string manifest = contents(path("manifest.img"));
	std::string body = manifest.substr(0, manifest.size() - Digest::kSize);
	for (char version : {0, 2}) {
		body[8] = version;
		replace_manifest(body);
		Result<CheckpointImages> images = read_checkpoint(path());
		ASSERT_FALSE(images);
		EXPECT_EQ(images.error().code, Code::kMismatch);
		const char *word = version ? "newer" : "older";
		EXPECT_NE(images.error().message.find(word), std::string::npos) << images.error().message;
	}
}

TEST_F(Checkpoint, fields_of_a_newer_version_are_a_mismatch)
{
	std::string manifest = contents(path("manifest.img"));
	// Field 2000 as a varint.
	replace_manifest(manifest.substr(0, manifest.size() - Digest::kSize) + "\x80\x7d\x01");
	expect_refused("manifest.img", Code::kMismatch);
}

TEST_F(Checkpoint, a_manifest_cannot_name_files_elsewhere)
{
	for (const char *name : {"../task.img", "/etc/passwd", ".", "", "manifest.img", "task.img"}) {
		Manifest manifest = read_checkpoint(path()).value().manifest;
		ImageFile *file = manifest.add_files();
		file->set_name(name);
		file->set_xxh3_128(std::string(Digest::kSize, '\0'));
		std::string good = contents(path("manifest.img"));
		replace_manifest(good.substr(0, sizeof(Header)) + manifest.SerializeAsString());
		expect_refused("manifest.img");
		overwrite(path("manifest.img"), good);
	}
}

TEST_F(Checkpoint, what_is_allocated_follows_from_what_is_there)
{
#ifdef __SANITIZE_ADDRESS__
	GTEST_SKIP() << "AddressSanitizer reserves terabytes of address space";
#endif
	constexpr off_t kHuge = off_t{900} << 20;
	ASSERT_EQ(::truncate(path("file.img").c_str(), kHuge), 0);
	expect_refused_with_little_memory(Code::kCorrupt);
	ASSERT_TRUE(write_checkpoint(root_ / "good", test::sample_document()));
	std::filesystem::rename(root_ / "good/file.img", path("file.img"));

	// A hole that its manifest knows.
	std::string tasks = contents(path("task.img"));
	replace_tasks(tasks.substr(0, sizeof(Header)), kHuge);
	expect_refused_with_little_memory(Code::kCorrupt);

	// Two bytes of a file that become an object each: a process with 8 million descriptors.
	std::string record;
	for (int i = 0; i < 8 << 20; i++)
		record += std::string("\x62\0", 2);
	std::string length;
	for (size_t left = record.size(); left; left >>= 7)
		length += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
	std::string file = tasks.substr(0, sizeof(Header)) + length + record;
	replace_tasks(file, static_cast<off_t>(file.size()));
	expect_refused_with_little_memory(Code::kLimit);
}

TEST_F(Checkpoint, special_files_and_links_are_refused_without_waiting)
{
	std::filesystem::rename(path("uring.img"), root_ / "uring.img");
	std::filesystem::create_symlink(root_ / "uring.img", path("uring.img"));
	expect_refused("uring.img");
	std::filesystem::remove(path("uring.img"));
	ASSERT_EQ(::mkfifo(path("uring.img").c_str(), 0600), 0);
	expect_refused("uring.img");
}

TEST_F(Checkpoint, restore_trusts_only_what_nobody_else_could_change)
{
	ReadOptions options{.require_owner = true};
	EXPECT_TRUE(read_checkpoint(path(), options));
	for (const char *name : {"", "task.img", "pages.img", "manifest.img"}) {
		std::filesystem::permissions(path(name), std::filesystem::perms::group_write,
					     std::filesystem::perm_options::add);
		Result<CheckpointImages> images = read_checkpoint(path(), options);
		ASSERT_FALSE(images) << name;
		EXPECT_EQ(images.error().code, Code::kPermission);
		EXPECT_TRUE(read_checkpoint(path()));
		std::filesystem::permissions(path(name), std::filesystem::perms::group_write,
					     std::filesystem::perm_options::remove);
	}
	if (::geteuid() != 0)
		GTEST_SKIP() << "giving files away needs root";
	ASSERT_EQ(::chown(path("file.img").c_str(), 12345, 0), 0);
	EXPECT_EQ(read_checkpoint(path(), options).error().code, Code::kPermission);
}

TEST_F(Checkpoint, what_is_no_checkpoint_is_called_so)
{
	EXPECT_EQ(read_checkpoint(root_ / "nowhere").error().code, Code::kCorrupt);
	EXPECT_EQ(read_checkpoint(path("task.img")).error().code, Code::kCorrupt);
	EXPECT_EQ(read_checkpoint(root_.path()).error().code, Code::kCorrupt);
}

TEST_F(Checkpoint, names_that_are_no_utf8_survive)
{
	Document document = test::sample_document();
	std::string comm = "\xff\xfe\\x41\xc3\xa9";
	document.mutable_processes(0)->set_comm(comm);
	document.mutable_rings(0)->add_unsupported("\x80");
	ASSERT_TRUE(write_checkpoint(root_ / "other", document));
	CheckpointImages images = read_checkpoint(root_ / "other").value();
	EXPECT_TRUE(MessageDifferencer::Equals(images.document, document));
}

TEST_F(Checkpoint, references_must_lead_somewhere)
{
	expect_invalid("task.img: pid 4711",
		       [](Document &d) { d.mutable_processes(0)->mutable_files(0)->set_file(99); });
	expect_invalid("task.img: pid 4711", [](Document &d) { d.mutable_processes(0)->set_address_space(2); });
	expect_invalid("task.img: pid 4711", [](Document &d) { d.mutable_processes(0)->set_exit_signal(65); });
	expect_invalid("task.img: pid 4711", [](Document &d) {
		d.mutable_processes(0)->mutable_threads(0)->set_role(Thread::IO_URING_WORKER);
	});
	expect_invalid("task.img: pid 4711", [](Document &d) {
		Thread *other = d.mutable_processes(0)->add_threads();
		other->set_tid(4799);
		other->set_role(Thread::EXITED_LEADER);
	});
	expect_invalid("file.img: file", [](Document &d) {
		for (File &file : *d.mutable_files())
			if (file.has_epoll())
				file.mutable_epoll()->mutable_items(0)->set_file(99);
	});
	expect_invalid("uring.img: ring 1",
		       [](Document &d) { d.mutable_rings(0)->mutable_in_flight(0)->set_file(99); });
	expect_invalid("uring.img: ring 1", [](Document &d) { d.mutable_rings(0)->mutable_in_flight(0)->set_link(4); });
	expect_invalid("uring.img: ring 1", [](Document &d) { d.mutable_rings(0)->set_fixed_file_slots(3); });
	expect_invalid("memory.img: address space 1",
		       [](Document &d) { d.mutable_memory(0)->mutable_vmas(2)->set_ring(2); });
}

TEST_F(Checkpoint, ids_are_unique)
{
	expect_invalid("file.img", [](Document &d) { d.mutable_files(1)->set_id(1); });
	expect_invalid("file.img", [](Document &d) { d.mutable_files(1)->set_id(0); });
	expect_invalid("task.img", [](Document &d) { *d.add_processes() = d.processes(0); });
	expect_invalid("uring.img", [](Document &d) { *d.add_rings() = d.rings(0); });
}

// Tables are made for the highest one.
TEST_F(Checkpoint, descriptors_are_numbers_that_a_kernel_gives)
{
	for (uint32_t number : {UINT32_MAX, uint32_t{INT32_MAX}}) {
		expect_invalid("file.img", [&](Document &document) {
			document.mutable_files(0)->mutable_epoll()->add_items()->set_fd(number);
		});
		expect_invalid("task.img", [&](Document &document) {
			document.mutable_processes(0)->mutable_files(0)->set_fd(number);
		});
	}
}

TEST_F(Checkpoint, page_runs_stay_in_bounds)
{
	auto change_run = [](const std::function<void(PageRun &)> &change) {
		expect_invalid("memory.img", [&](Document &d) { change(*d.mutable_memory(0)->mutable_pages(0)); });
	};
	change_run([](PageRun &run) { run.set_offset(test::kSamplePagesSize); });
	change_run([](PageRun &run) { run.set_offset(UINT64_MAX - 4095); });
	change_run([](PageRun &run) { run.set_length(UINT64_MAX - 4095); });
	change_run([](PageRun &run) { run.set_length(0); });
	change_run([](PageRun &run) { run.set_start(1); });
	change_run([](PageRun &run) { run.set_start(UINT64_MAX - 4095); });
	expect_invalid("shared_memory.img", [](Document &d) { d.mutable_shared_memory(0)->set_size(0); });
}

TEST_F(Checkpoint, mappings_are_ordered_and_disjoint)
{
	expect_invalid("memory.img", [](Document &d) { d.mutable_memory(0)->mutable_vmas()->SwapElements(0, 1); });
	expect_invalid("memory.img", [](Document &d) { d.mutable_memory(0)->mutable_vmas(0)->set_end(0x400001); });
	expect_invalid("memory.img", [](Document &d) { d.mutable_memory(0)->mutable_vmas(0)->set_end(0x3ff000); });
}

} // namespace bpfckpt::images
