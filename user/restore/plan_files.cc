// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Files that are opened by their names: they must be what they were. What is checked is what CRIU checks by default,
// kind and size; a file that is mapped privately supplies the pages that are not in the images, so its time of change
// counts too. What inotify watches must be there.
#include "user/restore/plan.h"

#include <cstring>
#include <unordered_set>

#include <fcntl.h>
#include <sys/stat.h>

#include "user/restore/lent_name.h"
#include "user/util/io.h"

namespace bpfckpt::restore {

static bool has_name(const images::File &file)
{
	if (file.deleted())
		return false;
	return file.kind() == "regular" || file.kind() == "directory" || file.kind() == "path" ||
	       file.kind() == "chardev" || file.kind() == "fifo";
}

static std::unordered_set<uint32_t> privately_mapped(const Plan &plan)
{
	std::unordered_set<uint32_t> files;
	for (const images::Memory &memory : plan.document->memory())
		for (const images::Vma &vma : memory.vmas())
			if (vma.kind() == images::Vma::FILE_PRIVATE && vma.file())
				files.insert(vma.file());
	return files;
}

static std::string difference(const images::File &file, const struct stat &now, bool mapped)
{
	if (file.mode() && (file.mode() & S_IFMT) != (now.st_mode & S_IFMT))
		return "is another kind of file now";
	if (S_ISCHR(now.st_mode) && file.rdev() && file.rdev() != now.st_rdev)
		return "is another device now";
	if (!S_ISREG(now.st_mode))
		return {};
	if (file.size() != static_cast<uint64_t>(now.st_size))
		return fmt::format("had {} bytes, and has {} now", file.size(), now.st_size);
	int64_t mtime = now.st_mtim.tv_sec * 1'000'000'000LL + now.st_mtim.tv_nsec;
	if (mapped && file.mtime_ns() && file.mtime_ns() != mtime)
		return "is mapped, and was changed since the dump";
	return {};
}

// Of a process that will be there again: "/proc/12/maps".
static bool is_of_tree(const Plan &plan, const std::string &path)
{
	int pid = 0;
	return sscanf(path.c_str(), "/proc/%d", &pid) == 1 && plan.processes.contains(pid);
}

// By name, as files that are opened: on a copy of the file system it is another inode.
static void check_watches(const Plan &plan, const images::File &file, Findings &findings)
{
	for (const images::InotifyWatch &watch : file.inotify().watches()) {
		struct stat now = {};
		if (!is_of_tree(plan, watch.path()) && stat(watch.path().c_str(), &now))
			findings.push_back(make_error(Code::kMismatch,
						      "inotify watches it as {}, and it cannot be looked at: {}",
						      watch.wd(), strerror(errno))
						   .on(watch.path())
						   .with_hint("put it back as it was at the dump"));
	}
}

void check_files(const Plan &plan, Findings &findings)
{
	std::unordered_set<uint32_t> mapped = privately_mapped(plan);
	for (const images::File *open : plan.open_files) {
		const images::File &file = *open;
		if (file.deleted() && file.has_handle())
			if (Result<UniqueFd> found = open_by_handle(file); !found)
				findings.push_back(std::move(found).error().with_hint(
					"restore where its file system is, with all its files"));
		check_watches(plan, file, findings);
		if (!has_name(file) || (file.filesystem() == "proc" && is_of_tree(plan, file.path())))
			continue;
		struct stat now = {};
		std::string wrong;
		Result<UniqueFd> found = open_exactly(file.path(), O_PATH | (S_ISLNK(file.mode()) ? O_NOFOLLOW : 0));
		if (!found)
			wrong = fmt::format("cannot be opened: {}", found.error().sys_errno == ELOOP
									    ? found.error().message
									    : strerror(found.error().sys_errno));
		else if (fstat(found->get(), &now))
			wrong = fmt::format("cannot be looked at: {}", strerror(errno));
		else
			wrong = difference(file, now, mapped.contains(file.id()));
		if (!wrong.empty())
			findings.push_back(Error(Code::kMismatch, std::move(wrong))
						   .on(file.path())
						   .with_hint("put the file back as it was at the dump"));
	}
}

} // namespace bpfckpt::restore
