// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/directory_writer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_set>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <google/protobuf/io/zero_copy_stream_impl.h>

#include "images/digest.h"
#include "images/format.h"
#include "images/text.h"
#include "user/util/io.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::images {

namespace {

constexpr size_t kFlushSize = size_t{256} << 10;
// On the wire: a field with a length.
constexpr char kThreadTag = Process::kThreadsFieldNumber << 3 | 2;
constexpr const char *kTemporaryManifest = ".manifest.img.tmp";
constexpr const char *kAnotherDirectory = "give a directory with room for the tree's memory that root may write to";

using RepeatedThreads = google::protobuf::RepeatedPtrField<Thread>;
using Complete = DirectoryWriter::Complete;

std::string_view bytes_of(const Header &header)
{
	return {reinterpret_cast<const char *>(&header), sizeof(header)};
}

void append_varint(std::string &out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		out += static_cast<char>(value | 0x80);
	out += static_cast<char>(value);
}

// "/a/b/" -> {"/a", "b"}; the base is never empty.
struct SplitPath {
	std::string parent;
	std::string base;
};

SplitPath split(std::string path)
{
	while (path.size() > 1 && path.back() == '/')
		path.pop_back();
	size_t slash = path.rfind('/');
	if (slash == std::string::npos)
		return {".", path.empty() ? "." : path};
	std::string base = path.substr(slash + 1);
	return {slash ? path.substr(0, slash) : "/", base.empty() ? "." : base};
}

Result<bool> is_empty_directory(int fd)
{
	// A description of its own: readdir moves the position.
	UniqueFd copy = TRY(open_at(fd, ".", O_RDONLY | O_DIRECTORY));
	DIR *stream = ::fdopendir(copy.get());
	if (!stream)
		return errno_error(errno, "cannot list");
	(void)copy.release();
	bool empty = true;
	while (const dirent *entry = ::readdir(stream)) {
		std::string_view name = entry->d_name;
		if (name != "." && name != "..")
			empty = false;
	}
	::closedir(stream);
	return empty;
}

Result<> sync_fd(int fd)
{
	// EINVAL: a file system without fsync.
	if (::fsync(fd) < 0 && errno != EINVAL)
		return errno_error(errno, "cannot sync");
	return {};
}

// A message as it goes to the disk: itself, or a copy with its names encoded. It must stay.
class Encoded {
public:
	explicit Encoded(const google::protobuf::Message &message) : message_(&message)
	{
		if (needs_encoding(message)) {
			copy_.reset(message.New());
			copy_->CopyFrom(message);
			encode_strings(*copy_);
			message_ = copy_.get();
		}
		size_ = message_->ByteSizeLong();
	}
	[[nodiscard]] const google::protobuf::Message &message() const { return *message_; }
	[[nodiscard]] size_t size() const { return size_; }

private:
	const google::protobuf::Message *message_;
	std::unique_ptr<google::protobuf::Message> copy_;
	size_t size_;
};

size_t varint_size(uint64_t value)
{
	size_t size = 1;
	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}

// One file being written. Records collect in `buffer`; a raw file is written by others through its descriptor.
struct OutputFile {
	std::string name;
	UniqueFd fd;
	std::string buffer;
	uint32_t records = 0;

	Result<> flush()
	{
		Result<> written = write_all(fd.get(), as_bytes(buffer));
		if (!written)
			return std::move(written).error().on(name).with_hint(kAnotherDirectory);
		buffer.clear();
		return {};
	}

	// In pieces: an address space may have thousands of mappings.
	Result<> write(const google::protobuf::Message &message)
	{
		TRY(flush());
		google::protobuf::io::FileOutputStream stream(fd.get(), kFlushSize);
		if (!message.SerializeToZeroCopyStream(&stream) || !stream.Flush())
			return errno_error(stream.GetErrno(), "cannot write").on(name).with_hint(kAnotherDirectory);
		return {};
	}

	// What follows are `size` bytes in any number of parts.
	Result<> begin_record(size_t size)
	{
		if (size > INT32_MAX)
			return make_error(Code::kLimit, "a record of {} bytes is too large", size);
		append_varint(buffer, size);
		records++;
		return {};
	}

	Result<> append(const Encoded &part)
	{
		if (part.size() >= kFlushSize)
			return write(part.message());
		size_t start = buffer.size();
		buffer.resize(start + part.size());
		part.message().SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t *>(buffer.data() + start));
		if (buffer.size() >= kFlushSize)
			return flush();
		return {};
	}
};

uint32_t count_threads(const RepeatedThreads &threads)
{
	return static_cast<uint32_t>(std::ranges::count(threads, Thread::USER, &Thread::role));
}

void fill_in_origin(Manifest &manifest)
{
	manifest.set_version(kFormatVersion);
	manifest.set_bpfckpt_version(BPFCKPT_VERSION);
	utsname name;
	if (::uname(&name) == 0) {
		manifest.set_architecture(name.machine);
		manifest.set_kernel_release(name.release);
	}
}

} // namespace

struct DirectoryWriter::State {
	std::string path;
	UniqueFd parent;
	std::string base;
	UniqueFd directory;
	bool created_directory = false;
	std::optional<mode_t> mode_before; // of one that others could write to
	bool committed = false;
	// In the order of kRecordFiles, then raw files. A deque: references stay valid.
	std::deque<OutputFile> files;
	std::unordered_set<uint32_t> memory; // Memory.id of what was added
	Manifest counts;

	~State()
	{
		if (committed)
			return;
		for (const OutputFile &file : files)
			::unlinkat(directory.get(), file.name.c_str(), 0);
		if (created_directory)
			::unlinkat(parent.get(), base.c_str(), AT_REMOVEDIR);
		else if (mode_before)
			::fchmod(directory.get(), *mode_before);
	}

	[[nodiscard]] std::string path_of(std::string_view name) const { return fmt::format("{}/{}", path, name); }

	Result<OutputFile *> create_file(const std::string &name)
	{
		Result<UniqueFd> fd = open_at(directory.get(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		if (!fd)
			return std::move(fd).error().on(path_of(name)).with_hint(kAnotherDirectory);
		files.push_back({name, std::move(*fd), {}, 0});
		return &files.back();
	}

	[[nodiscard]] bool is_link() const
	{
		struct stat there;
		return ::fstatat(parent.get(), base.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
		       S_ISLNK(there.st_mode);
	}

	// Whoever can write to it can take away a checkpoint whose source has ended; restore would not read it.
	Result<> make_private()
	{
		struct stat status;
		if (::fstat(directory.get(), &status) < 0)
			return errno_error(errno, "cannot stat").on(path);
		if (status.st_uid != ::geteuid())
			return make_error(Code::kPermission, "belongs to uid {}, not to the caller", status.st_uid)
				.on(path)
				.with_hint(kAnotherDirectory);
		if (!(status.st_mode & 022))
			return {};
		if (::fchmod(directory.get(), 0700) < 0)
			return errno_error(errno, "cannot be made private").on(path).with_hint(kAnotherDirectory);
		mode_before = status.st_mode & 07777;
		return {};
	}

	Result<> open_directory()
	{
		if (::mkdirat(parent.get(), base.c_str(), 0700) == 0)
			created_directory = true;
		else if (errno != EEXIST)
			return errno_error(errno, "cannot create the directory").on(path).with_hint(kAnotherDirectory);

		int fd = ::openat(parent.get(), base.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
			return make_error(Code::kUsage, "is {}", is_link() ? "a symbolic link" : "not a directory")
				.on(path)
				.with_hint(kAnotherDirectory);
		if (fd < 0)
			return errno_error(errno, "cannot open the directory").on(path);
		directory = UniqueFd(fd);
		if (!TRY(is_empty_directory(directory.get())))
			return make_error(Code::kUsage, "the directory is not empty")
				.on(path)
				.with_hint("give a directory that does not exist yet");
		return created_directory ? Result<>() : make_private();
	}

	Result<> create_record_files()
	{
		for (const RecordFile &record_file : kRecordFiles) {
			OutputFile *file = TRY(create_file(std::string(record_file.name)));
			Header header{kMagic, kFormatVersion, static_cast<uint32_t>(record_file.kind)};
			file->buffer = bytes_of(header);
		}
		return {};
	}

	OutputFile &file_of(Kind kind) { return files[static_cast<size_t>(kind) - 1]; }

	Result<> add(Kind kind, const google::protobuf::Message &message)
	{
		OutputFile &file = file_of(kind);
		Encoded record(message);
		Result<> result = file.begin_record(record.size());
		if (result)
			result = file.append(record);
		if (!result)
			return std::move(result).error().on(path_of(file.name));
		return {};
	}

	// The threads come behind everything else of their process, one by one. Where fields are in a message makes no
	// difference to who reads it.
	Result<> append_process(const Process &rest, const RepeatedThreads &known_threads, const Complete &complete,
				OutputFile &file)
	{
		Process completed = rest;
		complete.process(completed);
		RepeatedThreads own_threads;
		own_threads.Swap(completed.mutable_threads());
		const RepeatedThreads &threads = known_threads.empty() ? own_threads : known_threads;
		counts.set_processes(counts.processes() + 1);
		counts.set_threads(counts.threads() + count_threads(threads));
		Encoded head(completed);
		size_t size = head.size();
		Thread whole;
		auto complete_thread = [&](const Thread &thread) {
			whole = thread;
			complete.thread(rest, whole);
			return Encoded(whole);
		};
		for (const Thread &thread : threads) {
			size_t length = complete_thread(thread).size();
			size += sizeof(kThreadTag) + varint_size(length) + length;
		}
		TRY(file.begin_record(size));
		TRY(file.append(head));
		for (const Thread &thread : threads) {
			Encoded part = complete_thread(thread);
			file.buffer += kThreadTag;
			append_varint(file.buffer, part.size());
			TRY(file.append(part));
		}
		return {};
	}

	Result<> add(Process &process, const Complete &complete)
	{
		OutputFile &file = file_of(Kind::kTask);
		RepeatedThreads threads;
		threads.Swap(process.mutable_threads());
		Result<> result = append_process(process, threads, complete, file);
		threads.Swap(process.mutable_threads());
		if (!result)
			return std::move(result).error().on(path_of(file.name));
		return {};
	}

	Result<> finish_file(OutputFile &file, Manifest &manifest)
	{
		TRY(file.flush());
		struct stat status;
		if (::fstat(file.fd.get(), &status) < 0)
			return errno_error(errno, "cannot stat");
		auto size = static_cast<uint64_t>(status.st_size);
		Digest digest = TRY(digest_of_file(file.fd.get(), size));
		TRY(sync_fd(file.fd.get()));

		ImageFile *entry = manifest.add_files();
		entry->set_name(file.name);
		entry->set_size(size);
		entry->set_xxh3_128(std::string(digest.view()));
		entry->set_records(file.records);
		if (file.name == kPagesName)
			manifest.set_page_bytes(size);
		return {};
	}

	Result<> publish(Manifest manifest)
	{
		encode_strings(manifest);
		OutputFile *file = TRY(create_file(kTemporaryManifest));
		Header header{kMagic, kFormatVersion, static_cast<uint32_t>(Kind::kManifest)};
		file->buffer = bytes_of(header);
		file->buffer += manifest.SerializeAsString();
		file->buffer += std::string(digest_of(as_bytes(file->buffer)).view());
		TRY(file->flush());
		TRY(sync_fd(file->fd.get()));
		std::string name(kManifestName);
		if (::renameat2(directory.get(), kTemporaryManifest, directory.get(), name.c_str(), RENAME_NOREPLACE) <
		    0)
			return errno_error(errno, "cannot rename to");
		file->name = name;
		TRY(sync_fd(directory.get()));
		if (created_directory)
			TRY(sync_fd(parent.get()));
		committed = true;
		return {};
	}
};

DirectoryWriter::DirectoryWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
DirectoryWriter::DirectoryWriter(DirectoryWriter &&) noexcept = default;
DirectoryWriter &DirectoryWriter::operator=(DirectoryWriter &&) noexcept = default;
DirectoryWriter::~DirectoryWriter() = default;

Result<DirectoryWriter> DirectoryWriter::create(const std::string &path)
{
	auto state = std::make_unique<State>();
	SplitPath parts = split(path);
	state->path = path;
	state->base = parts.base;
	Result<UniqueFd> parent = open_at(AT_FDCWD, parts.parent, O_RDONLY | O_DIRECTORY);
	if (!parent)
		return std::move(parent).error().with_hint("the directory that is to hold the checkpoint must exist");
	state->parent = std::move(*parent);
	TRY(state->open_directory());
	TRY(state->create_record_files());
	return DirectoryWriter(std::move(state));
}

Result<int> DirectoryWriter::raw_file(const std::string &name)
{
	for (const OutputFile &file : state_->files)
		if (file.name == name)
			return file.fd.get();
	OutputFile *file = TRY(state_->create_file(name));
	return file->fd.get();
}

Result<> DirectoryWriter::add(const File &file)
{
	return state_->add(Kind::kFile, file);
}

Result<> DirectoryWriter::add(const Ring &ring)
{
	state_->counts.set_rings(state_->counts.rings() + 1);
	state_->counts.set_requests(state_->counts.requests() + static_cast<uint32_t>(ring.in_flight_size()));
	return state_->add(Kind::kRing, ring);
}

Result<> DirectoryWriter::add(const Memory &memory)
{
	state_->memory.insert(memory.id());
	return state_->add(Kind::kMemory, memory);
}

Result<> DirectoryWriter::add(const SharedMemory &memory)
{
	return state_->add(Kind::kSharedMemory, memory);
}

Result<> DirectoryWriter::add(Document document)
{
	return add(document, Complete());
}

Result<> DirectoryWriter::add(Document &document, const Complete &complete)
{
	for (Process &process : *document.mutable_processes())
		TRY(state_->add(process, complete));
	for (const File &file : document.files())
		TRY(add(file));
	for (const Ring &ring : document.rings())
		TRY(add(ring));
	for (const Memory &memory : document.memory())
		if (!state_->memory.contains(memory.id()))
			TRY(add(memory));
	for (const SharedMemory &memory : document.shared_memory())
		TRY(add(memory));
	state_->counts.mutable_not_restorable()->MergeFrom(document.not_restorable());
	return {};
}

Result<Manifest> DirectoryWriter::commit(Manifest manifest, const std::function<Result<>()> &last)
{
	std::unique_ptr<State> state = std::move(state_);
	manifest.MergeFrom(state->counts);
	fill_in_origin(manifest);
	for (OutputFile &file : state->files) {
		if (Result<> result = state->finish_file(file, manifest); !result)
			return std::move(result).error().on(state->path_of(file.name));
	}
	TRY(last());
	if (Result<> result = state->publish(manifest); !result)
		return std::move(result).error().on(state->path_of(kManifestName));
	return manifest;
}

} // namespace bpfckpt::images
