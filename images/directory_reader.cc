// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/directory_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <span>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/digest.h"
#include "images/format.h"
#include "images/records.h"
#include "images/validate.h"
#include "user/util/cores.h"
#include "user/util/io.h"

namespace bpfckpt::images {

namespace {

constexpr size_t kManifestLimit = size_t{16} << 20;
constexpr uint64_t kWorthThreads = 256 << 10; // bytes that take longer to parse than a thread takes to start

Error corrupt(const char *message)
{
	return {Code::kCorrupt, message};
}

// Whatever goes wrong with an image file is the image's fault, except what the user can mend.
Error as_image_error(Error error)
{
	if (error.code == Code::kGone || error.code == Code::kInternal)
		error.code = Code::kCorrupt;
	return error;
}

struct OpenFile {
	UniqueFd fd;
	uint64_t size = 0;
};

class Directory {
public:
	Directory(std::string path, UniqueFd fd, const ReadOptions &options)
		: path_(std::move(path)), fd_(std::move(fd)), options_(options)
	{
	}

	[[nodiscard]] std::string path_of(std::string_view name) const { return fmt::format("{}/{}", path_, name); }
	UniqueFd release() { return std::move(fd_); }

	[[nodiscard]] Result<> check_owner(int fd) const
	{
		if (!options_.require_owner)
			return {};
		struct stat status;
		if (::fstat(fd, &status) < 0)
			return errno_error(errno, "cannot stat");
		const char *hint = "check where it comes from, then use --trust-images";
		if (status.st_uid != ::geteuid())
			return make_error(Code::kPermission, "belongs to uid {}, not to the caller", status.st_uid)
				.with_hint(hint);
		if (status.st_mode & 022)
			return make_error(Code::kPermission, "can be written by others (mode {:04o})",
					  status.st_mode & 07777)
				.with_hint(hint);
		return {};
	}

	[[nodiscard]] Result<> check_owner() const { return check_owner(fd_.get()); }

	[[nodiscard]] Result<OpenFile> open(const std::string &name) const
	{
		OpenFile file;
		// O_NONBLOCK: a FIFO under this name must not block.
		file.fd = TRY(open_at(fd_.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
		struct stat status;
		if (::fstat(file.fd.get(), &status) < 0)
			return errno_error(errno, "cannot stat");
		if (!S_ISREG(status.st_mode))
			return corrupt("is not a regular file");
		TRY(check_owner(file.fd.get()));
		file.size = static_cast<uint64_t>(status.st_size);
		return file;
	}

	// What is there decides how much is allocated, never a number in an image.
	[[nodiscard]] Result<std::string> read(const OpenFile &file, uint64_t limit) const
	{
		if (file.size > limit)
			return make_error(Code::kCorrupt, "{} bytes are more than any valid file has ({})", file.size,
					  limit);
		std::string bytes(file.size, '\0');
		TRY(pread_exact(file.fd.get(), std::as_writable_bytes(std::span(bytes.data(), bytes.size())), 0));
		return bytes;
	}

private:
	std::string path_;
	UniqueFd fd_;
	ReadOptions options_;
};

Result<Manifest> read_manifest(const Directory &directory)
{
	OpenFile file = TRY(directory.open(std::string(kManifestName)));
	return parse_manifest(TRY(directory.read(file, kManifestLimit)));
}

Result<> check_digest(const Digest &digest, const ImageFile &entry)
{
	if (digest.view() != entry.xxh3_128())
		return corrupt("is altered: its digest is not the one in the manifest");
	return {};
}

Error size_error(uint64_t size, const ImageFile &entry)
{
	return make_error(Code::kCorrupt, "has {} bytes, {} according to the manifest", size, entry.size());
}

// A file that is all hole costs its maker nothing: it is told by its first record, before it is read.
Result<> check_beginning(const OpenFile &file)
{
	std::array<std::byte, 1> length = {std::byte{1}};
	if (file.size > sizeof(Header))
		TRY(pread_exact(file.fd.get(), length, sizeof(Header)));
	if (length[0] == std::byte{0})
		return corrupt("begins with an empty record");
	return {};
}

Result<> read_record_file(const Directory &directory, const ImageFile &entry, Kind kind, size_t limit,
			  Document &document)
{
	OpenFile file = TRY(directory.open(entry.name()));
	if (file.size != entry.size())
		return size_error(file.size, entry);
	TRY(check_beginning(file));
	std::string bytes = TRY(directory.read(file, std::min<size_t>(limit, INT32_MAX)));
	TRY(check_digest(digest_of(as_bytes(bytes)), entry));
	uint32_t records = TRY(parse_records(kind, bytes, document));
	if (records != entry.records())
		return make_error(Code::kCorrupt, "has {} records, {} according to the manifest", records,
				  entry.records());
	return {};
}

Result<> read_raw_file(const Directory &directory, const ImageFile &entry, bool verify, CheckpointImages &images)
{
	OpenFile file = TRY(directory.open(entry.name()));
	if (file.size != entry.size())
		return size_error(file.size, entry);
	if (verify) {
		Digest digest = TRY(digest_of_file(file.fd.get(), file.size));
		TRY(check_digest(digest, entry));
	}
	if (entry.name() == kPagesName) {
		images.pages = std::move(file.fd);
		images.pages_size = file.size;
		images.pages_path = directory.path_of(entry.name());
		images.pages_digest = entry.xxh3_128();
	}
	return {};
}

Kind kind_of(std::string_view name)
{
	for (const RecordFile &file : kRecordFiles)
		if (file.name == name)
			return file.kind;
	return Kind::kManifest;
}

uint64_t record_bytes_of(const Manifest &manifest)
{
	uint64_t bytes = 0;
	for (const ImageFile &file : manifest.files())
		if (kind_of(file.name()) != Kind::kManifest)
			bytes += file.size();
	return bytes;
}

Result<Directory> open_directory(const std::string &path, const ReadOptions &options)
{
	Result<UniqueFd> fd = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
	if (!fd) {
		Error error = std::move(fd).error();
		if (error.sys_errno == ENOENT || error.sys_errno == ENOTDIR)
			error.code = Code::kCorrupt;
		bool is_none = error.code == Code::kCorrupt;
		error.message = fmt::format("{}: {}", is_none ? "is not a checkpoint" : "cannot be opened",
					    strerror(error.sys_errno));
		if (is_none)
			error.hint = "give the directory that `bpfckpt dump -D DIR` has made";
		return error;
	}
	Directory directory(path, std::move(*fd), options);
	struct stat status;
	if (::fstatat(AT_FDCWD, directory.path_of(kManifestName).c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT)
		return make_error(Code::kCorrupt, "is not a checkpoint: it has no {}", kManifestName)
			.on(path)
			.with_hint("the manifest is written last: a dump that failed or was killed leaves none");
	return directory;
}

} // namespace

static Result<CheckpointImages> read_all(const std::string &path, const ReadOptions &options)
{
	Directory directory = TRY(open_directory(path, options));
	auto at = [&](std::string_view name, Error error) {
		return as_image_error(std::move(error)).on(directory.path_of(name));
	};

	if (Result<> result = directory.check_owner(); !result)
		return std::move(result).error().on(path);
	Result<Manifest> manifest = read_manifest(directory);
	if (!manifest)
		return at(kManifestName, std::move(manifest).error());
	uint64_t record_bytes = record_bytes_of(*manifest);
	CheckpointImages images(record_bytes);
	images.manifest = std::move(*manifest);

	// Each file of records goes to a list of its own in the document.
	auto read_one = [&](size_t i) -> Result<> {
		const ImageFile &entry = images.manifest.files(static_cast<int>(i));
		Kind kind = kind_of(entry.name());
		Result<> result =
			kind == Kind::kManifest
				? read_raw_file(directory, entry, options.verify_pages, images)
				: read_record_file(directory, entry, kind, options.record_file_limit, images.document);
		if (!result)
			return at(entry.name(), std::move(result).error());
		return {};
	};
	auto count = static_cast<size_t>(images.manifest.files_size());
	TRY(for_each_on_cores(count, record_bytes > kWorthThreads ? 1 : count, read_one));

	images.document.set_version(1);
	images.document.set_command("show");
	images.document.mutable_not_restorable()->CopyFrom(images.manifest.not_restorable());
	if (Result<> result = validate(images.document, images.pages_size); !result) {
		std::string file = directory.path_of(result.error().object);
		return std::move(result).error().on(file);
	}
	images.directory = directory.release();
	return images;
}

Result<CheckpointImages> read_checkpoint(const std::string &path, const ReadOptions &options)
{
	// A message takes more memory than its bytes in the file, and there may be little.
	try {
		return read_all(path, options);
	} catch (const std::bad_alloc &) {
		return Error(Code::kLimit, "there is not enough memory for what it holds").on(path);
	}
}

} // namespace bpfckpt::images
