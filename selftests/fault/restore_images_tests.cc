// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Images that are whole and not what this bpfckpt would have written here: of an older or newer version, with records
// in another order, of another machine. Each is restored, or refused by name and nothing is left behind.
#include <filesystem>
#include <functional>

#include <fcntl.h>

#include "images/digest.h"
#include "images/directory_reader.h"
#include "images/directory_writer.h"
#include "images/format.h"
#include "selftests/fault/restore_test.h"
#include "user/util/io.h"

namespace fs = std::filesystem;

namespace bpfckpt::selftests {

using google::protobuf::Message;
using images::CheckpointImages;
using images::Manifest;

namespace {

constexpr uint32_t kUnknownField = 1000;

class FaultForeign : public FaultRestore {
protected:
	using Change = std::function<void(CheckpointImages &)>;

	// Puts other images in the place of those of the dump; the next ones are made from the same.
	void rewrite(const Change &change)
	{
		if (original_.empty()) {
			original_ = dir_ + ".original";
			fs::rename(dir_, original_);
		}
		fs::remove_all(dir_);
		CheckpointImages images = images::read_checkpoint(original_).value();
		change(images);
		images::DirectoryWriter writer = images::DirectoryWriter::create(dir_).value();
		if (images.pages.valid()) {
			int pages = writer.raw_file(std::string(images::kPagesName)).value();
			ASSERT_TRUE(write_all(pages, as_bytes(contents_of(images.pages.get()))));
		}
		ASSERT_TRUE(writer.add(images.document));
		images.manifest.clear_files(); // the writer knows them
		ASSERT_TRUE(writer.commit(std::move(images.manifest)));
	}

	// The writer fills in what it knows itself; this is for the rest, with a digest that is right.
	void rewrite_manifest(uint32_t version, const std::function<void(Manifest &)> &change)
	{
		rewrite([](CheckpointImages &) {});
		Manifest manifest = images::read_checkpoint(dir_).value().manifest;
		change(manifest);
		images::Header header{images::kMagic, version, static_cast<uint32_t>(images::Kind::kManifest)};
		std::string bytes(reinterpret_cast<const char *>(&header), sizeof(header));
		bytes += manifest.SerializeAsString();
		bytes += std::string(images::digest_of(as_bytes(bytes)).view());
		UniqueFd fd = open_at(AT_FDCWD, dir_ + "/manifest.img", O_WRONLY | O_TRUNC).value();
		ASSERT_TRUE(write_all(fd.get(), as_bytes(bytes)));
	}

	void expect_refused(const std::string &text)
	{
		expect_error(run_command(command()), 6, text);
		expect_nothing_left();
	}

	void expect_original_restorable()
	{
		fs::remove_all(dir_);
		fs::rename(original_, dir_);
		expect_restorable();
	}

private:
	std::string original_;
};

void add_unknown_field(Message &message)
{
	message.GetReflection()->MutableUnknownFields(&message)->AddVarint(kUnknownField, 1);
}

template <class Records>
void reverse(Records &records)
{
	std::reverse(records.pointer_begin(), records.pointer_end());
}

// As if it had been written before there was such a field.
void forget(Message &message, const std::vector<const char *> &fields)
{
	for (const char *name : fields) {
		const auto *field = message.GetDescriptor()->FindFieldByName(name);
		ASSERT_NE(field, nullptr) << name;
		message.GetReflection()->ClearField(&message, field);
	}
}

} // namespace

TEST_F(FaultForeign, records_in_any_order_are_restored)
{
	ASSERT_TRUE(dumped("restore_tree"));
	rewrite([](CheckpointImages &images) {
		reverse(*images.document.mutable_processes());
		reverse(*images.document.mutable_files());
		reverse(*images.document.mutable_memory());
		reverse(*images.document.mutable_shared_memory());
	});
	expect_restorable();
	end_tree();
}

// The fields that came after the first images of this format were written (selftests/unit/golden).
TEST_F(FaultForeign, images_from_before_a_field_was_added_are_restored)
{
	ASSERT_TRUE(dumped("restore_threads"));
	rewrite([](CheckpointImages &images) {
		forget(images.manifest, {"vdso_hash", "vdso", "xstate_size", "bpfckpt_version"});
		for (images::Process &process : *images.document.mutable_processes())
			for (images::Thread &thread : *process.mutable_threads())
				forget(thread, {"cpuid_faults", "mce_kill", "mce_kill_set", "store_bypass",
						"indirect_branch", "memory_policy"});
		for (images::Memory &memory : *images.document.mutable_memory())
			forget(*memory.mutable_layout(), {"membarrier", "mdwe", "memory_merge", "futex_slots"});
		for (images::File &file : *images.document.mutable_files())
			forget(file, {"uid", "gid", "link_target", "handle"});
	});
	expect_restorable();
	end_tree();
}

TEST_F(FaultForeign, another_format_version_is_named)
{
	ASSERT_TRUE(dumped("harness_idle"));
	rewrite_manifest(images::kFormatVersion + 1, [](Manifest &) {});
	expect_refused("format version 2, newer than 1");
	rewrite_manifest(images::kFormatVersion - 1, [](Manifest &) {});
	expect_refused("format version 0, older than 1");
	expect_original_restorable();
}

TEST_F(FaultForeign, state_that_only_a_newer_version_knows_is_not_dropped)
{
	ASSERT_TRUE(dumped("harness_idle"));
	rewrite_manifest(images::kFormatVersion, [](Manifest &manifest) { add_unknown_field(manifest); });
	expect_refused("manifest.img: holds state that this bpfckpt does not know");
	rewrite([](CheckpointImages &images) { add_unknown_field(*images.document.mutable_processes(0)); });
	expect_refused("task.img: holds state that this bpfckpt does not know");
	rewrite([](CheckpointImages &images) {
		add_unknown_field(*images.document.mutable_memory(0)->mutable_layout());
	});
	expect_refused("memory.img: holds state that this bpfckpt does not know");
	expect_original_restorable();
}

// Its threads are mostly inside the vDSO. What it is redirected to is the same one, at another address.
TEST_F(FaultForeign, the_vdso_of_another_kernel_is_redirected)
{
	ASSERT_TRUE(dumped("vdso_calls"));
	rewrite([](CheckpointImages &images) { images.manifest.set_vdso_hash(std::string(16, 'v')); });
	expect_restorable();
	end_tree();
}

TEST_F(FaultForeign, another_machine_is_named)
{
	ASSERT_TRUE(dumped("harness_idle"));
	rewrite_manifest(images::kFormatVersion, [](Manifest &manifest) { manifest.set_architecture("aarch64"); });
	expect_refused("is from another architecture: aarch64");
	rewrite([](CheckpointImages &images) {
		images.manifest.set_vdso_hash(std::string(16, 'v'));
		images.manifest.clear_vdso();
	});
	expect_refused("vDSO  is not the one of the kernel that the dump was taken on");
	// Registers of a CPU that has more of them: a feature that nobody has yet, and an area that is too large.
	rewrite([](CheckpointImages &images) {
		images.document.mutable_processes(0)->mutable_threads(0)->mutable_xstate()->at(512 + 7) = 0x20;
	});
	expect_refused("registers, which this CPU lacks");
	rewrite([](CheckpointImages &images) {
		images.document.mutable_processes(0)->mutable_threads(0)->mutable_xstate()->resize(60000);
	});
	expect_refused("60000 bytes of extended registers");
	expect_original_restorable();
}

} // namespace bpfckpt::selftests
