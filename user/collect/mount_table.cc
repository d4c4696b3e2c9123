// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/mount_table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <unordered_set>

#include <sys/sysmacros.h>

#include "user/util/io.h"

namespace bpfckpt::collect {

// Blank, tab, newline and backslash are written as octal escapes (fs/seq_file.c: mangle_path()).
static std::string unescape(std::string_view text)
{
	std::string result;
	for (size_t i = 0; i < text.size(); i++) {
		if (text[i] == '\\' && i + 3 < text.size()) {
			result += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
						    (text[i + 3] - '0'));
			i += 3;
		} else {
			result += text[i];
		}
	}
	return result;
}

static std::string_view next_word(std::string_view &line)
{
	size_t end = std::min(line.find(' '), line.size());
	std::string_view word = line.substr(0, end);
	line.remove_prefix(std::min(end + 1, line.size()));
	return word;
}

bool answers_by_itself(std::string_view filesystem)
{
	static constexpr std::array<std::string_view, 14> kLocal = {
		"ext2", "ext3",    "ext4",  "xfs",   "btrfs",    "tmpfs", "devtmpfs",
		"f2fs", "overlay", "ramfs", "erofs", "squashfs", "vfat",  "bcachefs",
	};
	return std::ranges::find(kLocal, filesystem) != kLocal.end();
}

// The kernel's own, and others that need no more than a device: nobody who is stopped is asked for a name.
static bool needs_no_process(std::string_view filesystem)
{
	static constexpr std::array<std::string_view, 22> kMore = {
		"proc",    "sysfs",    "cgroup",   "cgroup2", "devpts", "debugfs", "tracefs", "securityfs",
		"bpf",     "configfs", "efivarfs", "mqueue",  "rootfs", "pstore",  "exfat",   "hugetlbfs",
		"iso9660", "udf",      "ntfs3",    "zfs",     "jfs",    "nilfs2",
	};
	return answers_by_itself(filesystem) || std::ranges::find(kMore, filesystem) != kMore.end();
}

// The type comes after the optional fields, which end with a hyphen.
static std::string_view filesystem_of(std::string_view fields)
{
	constexpr std::string_view kEnd = " - ";
	size_t end = fields.find(kEnd);
	if (end == std::string_view::npos)
		return {};
	fields.remove_prefix(end + kEnd.size());
	return next_word(fields);
}

MountTable MountTable::parse(std::string_view mountinfo)
{
	MountTable table;
	while (!mountinfo.empty()) {
		size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
		std::string_view line = mountinfo.substr(0, end);
		mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
		uint64_t id = strtoull(std::string(next_word(line)).c_str(), nullptr, 10);
		uint64_t parent = strtoull(std::string(next_word(line)).c_str(), nullptr, 10);
		std::string numbers(next_word(line));
		unsigned major = 0, minor = 0;
		if (sscanf(numbers.c_str(), "%u:%u", &major, &minor) != 2)
			continue;
		std::string root = unescape(next_word(line));
		std::string point = unescape(next_word(line));
		std::string filesystem(filesystem_of(line));
		// Who serves the root directory itself is in no tree that can be stopped.
		bool local = point == "/" || needs_no_process(filesystem);
		table.mounts_.push_back({id, parent, makedev(major, minor), std::move(root), std::move(point),
					 std::move(filesystem), local});
	}
	table.find_tops();
	return table;
}

Result<MountTable> MountTable::of_process(unsigned pid)
{
	return parse(TRY(read_file(fmt::format("/proc/{}/mountinfo", pid))));
}

static bool is_below(std::string_view path, std::string_view root)
{
	return root == "/" || (path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/'));
}

// The parent of a root is not in the table, or is the root itself: it gets parent 0.
void MountTable::find_tops()
{
	std::unordered_set<uint64_t> ids;
	for (const Mount &mount : mounts_)
		ids.insert(mount.id);
	for (Mount &mount : mounts_)
		if (mount.parent == mount.id || !ids.contains(mount.parent))
			mount.parent = 0;
}

// What covers a mount itself, or the first of its directories that the path comes to.
const MountTable::Mount *MountTable::next_on(std::string_view path, uint64_t from) const
{
	const Mount *next = nullptr;
	for (const Mount &mount : mounts_)
		if (mount.parent == from && is_below(path, mount.point) &&
		    (!next || mount.point.size() < next->point.size()))
			next = &mount;
	return next;
}

MountTable::Way MountTable::way_to(std::string_view path) const
{
	Way way;
	size_t steps = 0;
	for (const Mount *mount = next_on(path, 0); mount && mount->id && steps < mounts_.size(); steps++) {
		way = {mount->id, mount->filesystem, way.local && mount->local};
		mount = next_on(path, mount->id);
	}
	return way;
}

bool MountTable::is_local(std::string_view path) const
{
	auto asks = [path](const Mount &mount) { return !mount.local && is_below(path, mount.point); };
	return std::ranges::none_of(mounts_, asks) || way_to(path).local;
}

static std::string join(std::string_view point, std::string_view rest)
{
	std::string path(point == "/" ? "" : point);
	path += rest;
	return path.empty() ? "/" : path;
}

std::vector<std::string> MountTable::paths_of(uint64_t device, std::string_view path) const
{
	std::vector<const Mount *> candidates;
	for (const Mount &mount : mounts_)
		if (mount.device == device && is_below(path, mount.root))
			candidates.push_back(&mount);
	std::ranges::stable_sort(candidates, std::greater<>(), [](const Mount *mount) { return mount->root.size(); });
	std::vector<std::string> result;
	for (const Mount *mount : candidates) {
		std::string_view rest = path;
		rest.remove_prefix(mount->root == "/" ? 0 : mount->root.size());
		result.push_back(join(mount->point, rest == "/" ? "" : rest));
	}
	return result;
}

} // namespace bpfckpt::collect
