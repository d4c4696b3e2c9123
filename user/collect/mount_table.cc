// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/mount_table.h"

#include <algorithm>
#include <cstdio>

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

MountTable MountTable::parse(std::string_view mountinfo)
{
	MountTable table;
	while (!mountinfo.empty()) {
		size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
		std::string_view line = mountinfo.substr(0, end);
		mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
		next_word(line); // id
		next_word(line); // parent
		std::string numbers(next_word(line));
		unsigned major = 0, minor = 0;
		if (sscanf(numbers.c_str(), "%u:%u", &major, &minor) != 2)
			continue;
		std::string root = unescape(next_word(line));
		std::string point = unescape(next_word(line));
		table.mounts_.push_back({makedev(major, minor), std::move(root), std::move(point)});
	}
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
