// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/watches.h"

#include <sys/stat.h>
#include <unistd.h>

#include "images/descriptors.h"
#include "iterators/file_path.h"
#include "user/collect/mount_table.h"

namespace bpfckpt::collect {

// A path under which the watched inode is found now: from bpfckpt's root, where restore looks for it, unless the
// process is in another mount namespace; then from its own.
static std::string watched_path(unsigned pid, const MountTable &mounts, const images::InotifyWatch &watch,
				std::string_view path)
{
	for (std::string &candidate : mounts.paths_of(watch.device(), path)) {
		struct stat found = {};
		std::string as_seen = fmt::format("/proc/{}/root{}", pid, candidate);
		if (::stat(as_seen.c_str(), &found) == 0 && found.st_ino == watch.inode() &&
		    found.st_dev == watch.device())
			return candidate;
	}
	return {};
}

static bool has_own_mounts(unsigned pid)
{
	struct stat own = {};
	struct stat its = {};
	return ::stat("/proc/self/ns/mnt", &own) || ::stat(fmt::format("/proc/{}/ns/mnt", pid).c_str(), &its) ||
	       own.st_ino != its.st_ino;
}

// bpfckpt itself where no descriptor names the file.
static unsigned holder_of(uint32_t file, const images::Document &document)
{
	const images::Process *holder = images::first_holder(document, file);
	return holder ? living_tid(*holder) : static_cast<unsigned>(::getpid());
}

static void name_watches_of(images::File &file, const std::vector<std::string> &paths, const Context &context)
{
	unsigned pid = holder_of(file.id(), *context.document);
	if (!has_own_mounts(pid))
		pid = static_cast<unsigned>(::getpid());
	auto mounts = MountTable::of_process(pid);
	if (!mounts)
		return;
	size_t i = 0;
	for (images::InotifyWatch &watch : *file.mutable_inotify()->mutable_watches()) {
		const std::string &path = paths.at(i++);
		if (!path.empty())
			watch.set_path(watched_path(pid, *mounts, watch, path));
	}
}

void name_watches(const iterators::FileRecords &records, Context &context)
{
	// In the order of the watches in the messages.
	std::unordered_map<uint32_t, std::vector<std::string>> paths;
	for (const inotify_mark_record &mark : records.inotify_marks)
		paths[context.ids.files.find(mark.file)].push_back(iterators::path_of(mark, records.names));
	if (paths.empty())
		return;
	for (images::File &file : *context.document->mutable_files())
		if (file.has_inotify())
			if (auto it = paths.find(file.id()); it != paths.end())
				name_watches_of(file, it->second, context);
}

} // namespace bpfckpt::collect
