// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/lent_name.h"

#include <cstring>
#include <ranges>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/restore/inode.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

static std::string directory_of(const std::string &path)
{
	size_t slash = path.rfind('/');
	return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

static Result<UniqueFd> open_nearest_directory(const std::string &path)
{
	std::string directory = directory_of(path);
	for (;;) {
		Result<UniqueFd> fd = open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
		if (fd || directory == "/")
			return fd;
		directory = directory_of(directory);
	}
}

Result<UniqueFd> open_by_handle(const images::File &file)
{
	const std::string &bytes = file.handle().bytes();
	std::vector<char> buffer(sizeof(file_handle) + bytes.size());
	file_handle head = {};
	head.handle_bytes = static_cast<unsigned>(bytes.size());
	head.handle_type = file.handle().type();
	memcpy(buffer.data(), &head, sizeof(head));
	memcpy(buffer.data() + sizeof(head), bytes.data(), bytes.size());
	UniqueFd directory = TRY(open_nearest_directory(file.path()));
	UniqueFd fd(::open_by_handle_at(directory.get(), reinterpret_cast<file_handle *>(buffer.data()),
					O_PATH | O_CLOEXEC));
	struct stat found = {};
	if (!fd.valid() || fstat(fd.get(), &found))
		return errno_error(errno, "the file that had this name is gone").on(file.path());
	if (found.st_ino != file.inode() || (found.st_mode & S_IFMT) != (file.mode() & S_IFMT))
		return Error(Code::kMismatch, "the file that had this name is gone").on(file.path());
	return fd;
}

LentName::~LentName()
{
	for (const auto &[directory, name] : names_)
		unlinkat(directory.get(), name.c_str(), is_directory_ ? AT_REMOVEDIR : 0);
	for (const std::string &directory : directories_ | std::views::reverse)
		rmdir(directory.c_str());
}

Result<> LentName::make_directories(const std::string &path)
{
	std::string directory = directory_of(path);
	if (access(directory.c_str(), F_OK) == 0)
		return {};
	TRY(make_directories(directory));
	if (mkdir(directory.c_str(), 0700))
		return errno_error(errno, "cannot make the directory for a moment").on(directory);
	directories_.push_back(directory);
	return {};
}

// Whoever owns a directory above may put a symbolic link in its place at any time: it is held open, and what is made in
// it is taken away from it.
std::string LentName::Name::place() const
{
	return fmt::format("/proc/self/fd/{}/{}", directory.get(), name);
}

// `make` is 0, or -1 and errno, for a path.
Result<std::string> LentName::name_for(const images::File &file, auto &&make)
{
	TRY(make_directories(file.path()));
	std::string directory = directory_of(file.path());
	Name name = {TRY(open_exactly(directory, O_PATH | O_DIRECTORY)),
		     file.path().substr(file.path().rfind('/') + 1)};
	int done = make(name.place().c_str());
	if (done && errno == EEXIST) {
		name.name = fmt::format(".bpfckpt-{}-{}", getpid(), file.id());
		done = make(name.place().c_str());
	}
	if (done)
		return errno_error(errno, "cannot have its name back for a moment").on(file.path());
	names_.push_back(std::move(name));
	return (directory == "/" ? "" : directory) + "/" + names_.back().name;
}

static int make_inode(const images::File &file, const char *path)
{
	switch (file.mode() & S_IFMT) {
	case S_IFDIR:
		return mkdir(path, 0700);
	case S_IFLNK:
		return symlink(file.link_target().c_str(), path);
	case S_IFIFO:
	case S_IFCHR:
	case S_IFREG:
		return mknod(path, (file.mode() & S_IFMT) | 0600, file.rdev());
	default:
		errno = EOPNOTSUPP;
		return -1;
	}
}

bool LentName::is_temporary(const images::File &file)
{
	return (static_cast<int>(file.flags()) & O_TMPFILE) == O_TMPFILE && !file.has_handle();
}

UniqueFd LentName::take_temporary(const images::File &file)
{
	return is_temporary(file) ? std::move(temporary_) : UniqueFd();
}

static int link_to(int fd, const char *path)
{
	std::string source = fmt::format("/proc/self/fd/{}", fd);
	return linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

int LentName::make_temporary(const char *path, int flags)
{
	if (!temporary_.valid())
		temporary_.reset(::open(directory_of(path).c_str(), flags | O_TMPFILE | O_CLOEXEC, 0600));
	return temporary_.valid() ? link_to(temporary_.get(), path) : -1;
}

// As it was: a name, even for a moment, would take from it that it can be given one.
Result<> LentName::make_nameless(const images::File &file, int flags)
{
	TRY(make_directories(file.path()));
	temporary_ =
		TRY(open_exactly(directory_of(file.path()), (is_temporary(file) ? flags : O_RDWR) | O_TMPFILE, 0600));
	path_ = fmt::format("/proc/self/fd/{}", temporary_.get());
	is_nameless_ = true;
	return {};
}

Result<LentName> LentName::create(const images::File &file, int flags)
{
	if (!file.path().starts_with('/'))
		return Error(Code::kCorrupt, "was deleted and never had a path").on(fmt::format("file {}", file.id()));
	LentName lent;
	lent.wanted_ = file.path();
	lent.is_directory_ = S_ISDIR(file.mode());
	lent.is_new_ = !file.has_handle();
	if (file.linkable()) {
		TRY(lent.make_nameless(file, flags));
		return lent;
	}
	if (lent.is_new_) {
		lent.path_ = TRY(lent.name_for(file, [&](const char *path) {
			return is_temporary(file) ? lent.make_temporary(path, flags) : make_inode(file, path);
		}));
		return lent;
	}
	UniqueFd fd = TRY(open_by_handle(file));
	lent.path_ = TRY(lent.name_for(file, [&](const char *path) { return link_to(fd.get(), path); }));
	return lent;
}

Result<UniqueFd> LentName::open_under(const std::string &path, int flags) const
{
	return is_nameless_ ? open_at(AT_FDCWD, path, flags) : open_exactly(path, flags);
}

Result<UniqueFd> LentName::open_also(const images::File &file, int flags)
{
	if (file.path() == wanted_ || is_directory_ || is_nameless_)
		return open(flags);
	std::string first = names_.front().place();
	return open_under(TRY(name_for(file, [&](const char *path) { return link(first.c_str(), path); })), flags);
}

Result<> LentName::set_attributes(const images::File &file) const
{
	bool is_link = S_ISLNK(file.mode());
	UniqueFd inode = TRY(open(O_PATH | (is_link ? O_NOFOLLOW : 0)));
	std::string path = fmt::format("/proc/self/fd/{}", inode.get());
	// chown(2) clears the set-user-ID bits.
	if (fchownat(inode.get(), "", file.uid(), file.gid(), AT_EMPTY_PATH) ||
	    (!is_link && chmod(path.c_str(), file.mode() & 07777)) ||
	    (file.mtime_ns() && utimensat(inode.get(), "", times_of(file).data(), AT_EMPTY_PATH)))
		return errno_error(errno, "cannot set owner, mode and time").on(file.path());
	return {};
}

} // namespace bpfckpt::restore
