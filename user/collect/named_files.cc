// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/named_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <sys/stat.h>

#include "user/memory/vma_kind.h"

namespace bpfckpt::collect {

static bool is_named(const file_record &record)
{
	std::string_view filesystem(record.filesystem, strnlen(record.filesystem, sizeof(record.filesystem)));
	if (record.path_flags || !record.mount_id || !answers_by_itself(filesystem))
		return false;
	switch (iterators::kind_of(record)) {
	case FILE_KIND_REGULAR:
	case FILE_KIND_DIRECTORY:
	case FILE_KIND_PATH:
	case FILE_KIND_CHARDEV:
	case FILE_KIND_FIFO:
		return true;
	default:
		return false;
	}
}

// stat(2) of overlayfs and btrfs tells other numbers than the inode has: the descriptor is asked in the same way.
static bool is_same(const iterators::FileReader &reader, const file_record &record, const struct stat &found)
{
	if (found.st_ino == record.ino && found.st_dev == memory::device_number(record.s_dev))
		return true;
	auto fds = reader.fds();
	auto fd = std::ranges::find(fds, record.file, &fd_record::file);
	struct stat open = {};
	if (fd == fds.end() || ::stat(fmt::format("/proc/{}/fd/{}", fd->tid, fd->fd).c_str(), &open) < 0)
		return found.st_ino == record.ino;
	return open.st_ino == found.st_ino && open.st_dev == found.st_dev;
}

void NamedFiles::look(const iterators::FileReader &reader, const MountTable &mounts)
{
	astray_.clear();
	for (const file_record &record : reader.files()) {
		if (!is_named(record))
			continue;
		std::string path = reader.path_of(record);
		struct stat found = {};
		if (!mounts.is_local(path))
			continue;
		if (::lstat(path.c_str(), &found) < 0)
			astray_.push_back({record.file, errno});
		else if (!is_same(reader, record, found))
			astray_.push_back({record.file, 0});
	}
}

void NamedFiles::add_to(Context &context) const
{
	for (const Astray &astray : astray_) {
		uint32_t id = context.ids.files.find(astray.file);
		auto file = std::ranges::find(context.document->files(), id, &images::File::id);
		if (file == context.document->files().end())
			continue;
		std::string now = astray.error ? fmt::format("its name leads nowhere: {}", strerror(astray.error))
					       : "its name leads to another file now";
		context.refuse(file->path(), std::move(now),
			       "unmount what covers it, or let the program open the file that is there now");
	}
}

} // namespace bpfckpt::collect
