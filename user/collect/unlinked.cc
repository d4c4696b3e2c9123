// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/unlinked.h"

#include <algorithm>
#include <array>
#include <climits>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/collect/borrower.h"
#include "user/collect/inode_attributes.h"

namespace bpfckpt::collect {

static std::string link_target(int link)
{
	std::array<char, PATH_MAX> target;
	ssize_t length = ::readlinkat(link, "", target.data(), target.size());
	return {target.data(), length > 0 ? static_cast<size_t>(length) : 0};
}

static std::optional<images::FileHandle> handle_of(const fd_record &place)
{
	struct {
		file_handle head;
		std::array<unsigned char, MAX_HANDLE_SZ> bytes;
	} handle = {};
	handle.head.handle_bytes = MAX_HANDLE_SZ;
	int mount = 0;
	std::string path = fmt::format("/proc/{}/fd/{}", place.tid, place.fd);
	if (::name_to_handle_at(AT_FDCWD, path.c_str(), &handle.head, &mount, AT_SYMLINK_FOLLOW) < 0)
		return {};
	images::FileHandle image;
	image.set_type(handle.head.handle_type);
	image.set_bytes(handle.bytes.data(), handle.head.handle_bytes);
	return image;
}

static bool can_have_attributes(const file_record &record)
{
	return S_ISREG(record.i_mode) || S_ISDIR(record.i_mode);
}

Unlinked Unlinked::capture(const iterators::FileReader &reader)
{
	Unlinked unlinked;
	std::optional<Borrower> borrower;
	for (const file_record &record : reader.files()) {
		bool is_memfd = (record.path_flags & FILE_PATH_MEMFD) != 0;
		if (!is_memfd && !(record.path_flags & FILE_PATH_UNLINKED))
			continue;
		if (!borrower)
			borrower.emplace(reader.fds());
		const fd_record *place = borrower->place_of(record.file);
		if (!place)
			continue;
		if (S_ISLNK(record.i_mode))
			unlinked.targets_[record.file] = link_target(borrower->borrow(record.file).get());
		else if (auto handle = record.nlink && !is_memfd ? handle_of(*place) : std::nullopt)
			unlinked.handles_[record.file] = std::move(*handle);
		else if (can_have_attributes(record))
			if (auto attributes = read_inode_attributes(borrower->borrow(record.file).get()))
				unlinked.attributes_[record.file] = std::move(*attributes);
	}
	return unlinked;
}

void Unlinked::add_to(const file_record &record, images::File &file) const
{
	if (auto handle = handles_.find(record.file); handle != handles_.end())
		*file.mutable_handle() = handle->second;
	if (auto target = targets_.find(record.file); target != targets_.end())
		file.set_link_target(target->second);
	if (auto attributes = attributes_.find(record.file); attributes != attributes_.end())
		*file.mutable_attributes() = attributes->second;
}

static uint32_t directory_at(const ProcessPaths &paths, Context &context)
{
	for (const images::File &file : context.document->files())
		if (file.deleted() && S_ISDIR(file.mode()) && file.inode() == paths.cwd_inode &&
		    file.device() == paths.cwd_device)
			return file.id();
	images::File *file = context.document->add_files();
	file->set_id(context.ids.files.fresh());
	file->set_kind("directory");
	file->set_path(paths.cwd.substr(0, paths.cwd.size() - kDeletedMark.size()));
	file->set_deleted(true);
	file->set_flags(O_RDONLY | O_DIRECTORY);
	file->set_mode(paths.cwd_mode);
	file->set_uid(paths.cwd_uid);
	file->set_gid(paths.cwd_gid);
	file->set_inode(paths.cwd_inode);
	file->set_device(paths.cwd_device);
	file->set_hidden(true);
	return file->id();
}

void collect_deleted_cwds(std::span<const ProcessPaths> paths, Context &context)
{
	for (images::Process &process : *context.document->mutable_processes()) {
		const ProcessPaths *found = paths_of(paths, process.pid());
		if (found && found->cwd_deleted)
			process.set_cwd_file(directory_at(*found, context));
	}
}

} // namespace bpfckpt::collect
