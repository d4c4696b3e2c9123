// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/util/io.h"

#include <array>

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfckpt {

Result<UniqueFd> open_at(int dir, const std::string &path, int flags, unsigned mode)
{
	for (;;) {
		UniqueFd fd(::openat(dir, path.c_str(), flags | O_CLOEXEC, mode));
		if (fd.valid())
			return fd;
		if (errno != EINTR)
			return errno_error(errno, "cannot open").on(path);
	}
}

Result<UniqueFd> open_exactly(const std::string &path, int flags, unsigned mode)
{
	// What openat(2) would overlook, flags of the kernel's own in what was told of a file, openat2(2) refuses.
	constexpr int kOfPaths = O_PATH | O_DIRECTORY | O_NOFOLLOW;
	constexpr int kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
			       O_DIRECT | O_NOFOLLOW | O_NOATIME | O_TMPFILE;
	open_how how = {};
	how.flags = static_cast<uint64_t>((flags & (flags & O_PATH ? kOfPaths : kKnown)) | O_CLOEXEC);
	how.mode = mode;
	how.resolve = RESOLVE_NO_SYMLINKS;
	for (;;) {
		UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how))));
		if (fd.valid())
			return fd;
		if (errno == ELOOP)
			return errno_error(ELOOP, "leads through a symbolic link now").on(path);
		if (errno != EINTR)
			return errno_error(errno, "cannot open").on(path);
	}
}

void raise_file_limit()
{
	rlimit limit = {};
	if (::getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)::setrlimit(RLIMIT_NOFILE, &limit);
}

bool raise_hard_file_limit()
{
	rlimit limit = {};
	if (::getrlimit(RLIMIT_NOFILE, &limit))
		return false;
	limit.rlim_max *= 2;
	limit.rlim_cur = limit.rlim_max;
	return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

Result<> write_all(int fd, std::span<const std::byte> bytes)
{
	while (!bytes.empty()) {
		ssize_t done = ::write(fd, bytes.data(), bytes.size());
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno_error(errno, "cannot write");
		bytes = bytes.subspan(static_cast<size_t>(done));
	}
	return {};
}

Result<> pwrite_all(int fd, std::span<const std::byte> bytes, off_t offset)
{
	while (!bytes.empty()) {
		ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno_error(errno, "cannot write");
		bytes = bytes.subspan(static_cast<size_t>(done));
		offset += done;
	}
	return {};
}

Result<> pread_exact(int fd, std::span<std::byte> bytes, off_t offset)
{
	while (!bytes.empty()) {
		ssize_t done = ::pread(fd, bytes.data(), bytes.size(), offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno_error(errno, "cannot read");
		if (done == 0)
			return make_error(Code::kCorrupt, "ends {} bytes early", bytes.size());
		bytes = bytes.subspan(static_cast<size_t>(done));
		offset += done;
	}
	return {};
}

Result<std::string> read_file_at(int dir, const std::string &path, size_t limit)
{
	UniqueFd fd = TRY(open_at(dir, path, O_RDONLY));
	std::string text;
	size_t used = 0;
	for (;;) {
		if (text.size() - used < 4096)
			text.resize(text.size() + (text.size() < 16384 ? 16384 : text.size()));
		ssize_t done = ::read(fd.get(), text.data() + used, text.size() - used);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno_error(errno, "cannot read").on(path);
		if (done == 0)
			break;
		used += static_cast<size_t>(done);
		if (used > limit)
			return make_error(Code::kLimit, "larger than {} bytes", limit).on(path);
	}
	text.resize(used);
	text.shrink_to_fit(); // many are kept
	return text;
}

Result<std::string> read_file(const std::string &path, size_t limit)
{
	return read_file_at(AT_FDCWD, path, limit);
}

Result<std::string> read_link(const std::string &path)
{
	std::array<char, PATH_MAX> target;
	ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
	if (length < 0)
		return errno_error(errno, "cannot read link").on(path);
	return std::string(target.data(), static_cast<size_t>(length));
}

} // namespace bpfckpt
