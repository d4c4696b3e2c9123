// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files that are opened by name, FIFOs, and deleted files, which get their name back for a moment.
#include "user/restore/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/util/io.h"

namespace bpfckpt::restore {

// What open(2) takes again; the kernel has dropped O_CREAT and its kin already (do_dentry_open).
static int open_flags(const images::File &file)
{
	return static_cast<int>(file.flags()) & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_ASYNC);
}

static Result<> set_position(int fd, const images::File &file)
{
	if (file.position() && lseek(fd, static_cast<off_t>(file.position()), SEEK_SET) < 0)
		return errno_error(errno, "cannot seek to {}", file.position()).on(name_of(file));
	return {};
}

Result<UniqueFd> open_named(const images::File &file)
{
	int flags = open_flags(file);
	if (file.kind() == "path")
		flags |= O_PATH;
	Result<UniqueFd> fd = open_at(AT_FDCWD, file.path(), flags);
	if (!fd)
		return fd;
	if (!(flags & O_PATH) && (file.kind() == "regular" || file.kind() == "directory" || file.kind() == "shm"))
		TRY(set_position(fd->get(), file));
	return fd;
}

Result<OpenedFiles> open_fifo(std::span<const images::File *const> files)
{
	// Neither end blocks in open(2), nor is data lost, while this one is there.
	UniqueFd keeper = TRY(open_at(AT_FDCWD, files[0]->path(), O_RDWR | O_NONBLOCK));
	OpenedFiles opened;
	for (const images::File *file : files) {
		UniqueFd fd = TRY(open_at(AT_FDCWD, file->path(), open_flags(*file)));
		opened.emplace_back(file->id(), std::move(fd));
		if (file->pipe().size())
			fcntl(keeper.get(), F_SETPIPE_SZ, file->pipe().size());
		if (!file->pipe().data().empty())
			TRY(write_all(keeper.get(), as_bytes(file->pipe().data())));
	}
	return opened;
}

static std::string without_mark(const std::string &path)
{
	static constexpr std::string_view kMark = " (deleted)";
	return path.ends_with(kMark) ? path.substr(0, path.size() - kMark.size()) : path;
}

Result<OpenedFiles> open_deleted(std::span<const images::File *const> files, const images::SharedMemory *content,
				 const PageImage &pages)
{
	std::string path = without_mark(files[0]->path());
	Result<UniqueFd> created = open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, files[0]->mode() & 07777);
	if (!created)
		return std::move(created).error().on(path).with_hint(
			"a deleted file gets its name back for a moment: free it");
	auto build = [&]() -> Result<OpenedFiles> {
		OpenedFiles opened;
		if (content)
			TRY(pages.fill_file(created->get(), *content));
		if (ftruncate(created->get(), static_cast<off_t>(files[0]->size())) ||
		    fchmod(created->get(), files[0]->mode() & 07777))
			return errno_error(errno, "cannot set size and mode").on(path);
		for (const images::File *file : files) {
			UniqueFd fd =
				TRY(open_at(AT_FDCWD, path, open_flags(*file) | (file->kind() == "path" ? O_PATH : 0)));
			TRY(set_position(fd.get(), *file));
			opened.emplace_back(file->id(), std::move(fd));
		}
		return opened;
	};
	Result<OpenedFiles> opened = build();
	if (unlink(path.c_str()))
		return errno_error(errno, "cannot remove").on(path);
	return opened;
}

Result<OpenedFiles> open_memfd(std::span<const images::File *const> files, const images::SharedMemory *content,
			       const PageImage &pages)
{
	const images::Memfd &memfd = files[0]->memfd();
	std::string name = memfd.name();
	UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(memfd.size())))
		return errno_error(errno, "cannot create").on(name_of(*files[0]));
	if (content)
		TRY(pages.fill_file(fd.get(), *content));
	if (files[0]->mode() && fchmod(fd.get(), files[0]->mode() & 07777))
		return errno_error(errno, "cannot set the mode").on(name_of(*files[0]));
	OpenedFiles opened;
	for (const images::File *file : files) {
		UniqueFd one = TRY(reopen(fd.get(), *file));
		TRY(set_position(one.get(), *file));
		opened.emplace_back(file->id(), std::move(one));
	}
	// Last: a seal against writing would keep the files above from being opened for it.
	if (memfd.seals() && fcntl(fd.get(), F_ADD_SEALS, memfd.seals()))
		return errno_error(errno, "cannot set seals {:#x}", memfd.seals()).on(name_of(*files[0]));
	return opened;
}

} // namespace bpfckpt::restore
