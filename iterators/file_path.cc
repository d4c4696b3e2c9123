// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/file_path.h"

#include <algorithm>
#include <ranges>
#include <vector>

#include <fmt/format.h>

#include "iterators/file_reader.h"

namespace bpfckpt::iterators {

static std::vector<std::string_view> names_at(std::string_view names, uint64_t offset, uint32_t count)
{
	std::vector<std::string_view> result;
	for (uint32_t i = 0; i < std::min(count, kMaxComponents) && offset < names.size(); i++) {
		std::string_view name = names.substr(offset, kMaxName);
		name = name.substr(0, name.find('\0'));
		result.push_back(name);
		offset += name.size() + 1;
	}
	return result;
}

static std::string join_reversed(const std::vector<std::string_view> &names)
{
	std::string path;
	for (std::string_view name : std::views::reverse(names))
		path.append("/").append(name);
	return path;
}

static std::string pseudo_path(const file_record &record, std::string_view name)
{
	constexpr uint64_t kAnonInodeFs = 0x09041934;
	constexpr uint64_t kPidfs = 0x50494446;
	switch (kind_of(record)) {
	case FILE_KIND_PIPE:
		return fmt::format("pipe:[{}]", record.ino);
	case FILE_KIND_NAMESPACE:
		return fmt::format("{}:[{}]", name, record.ino);
	case FILE_KIND_MEMFD:
	case FILE_KIND_SHM:
		return fmt::format("/{}", name);
	default:
		if (record.s_magic == kAnonInodeFs)
			return fmt::format("anon_inode:{}", name);
		return record.s_magic == kPidfs ? fmt::format("pidfd:[{}]", record.ino) : std::string(name);
	}
}

std::string path_of(const file_record &record, std::string_view all_names)
{
	switch (record.kind) { // no name was read for these (bpf/file.bpf.c: describe_one())
	case FILE_KIND_SOCKET:
		return fmt::format("socket:[{}]", record.ino);
	case FILE_KIND_EVENTFD:
		return "anon_inode:[eventfd]";
	case FILE_KIND_TIMERFD:
		return "anon_inode:[timerfd]";
	case FILE_KIND_SIGNALFD:
		return "anon_inode:[signalfd]";
	case FILE_KIND_EPOLL:
		return "anon_inode:[eventpoll]";
	case FILE_KIND_INOTIFY:
		return "anon_inode:inotify";
	case FILE_KIND_PIDFD:
		return "anon_inode:[pidfd]";
	case FILE_KIND_IO_URING:
		return "anon_inode:[io_uring]";
	default:
		break;
	}
	auto names = names_at(all_names, record.names, record.name_count);
	if (record.path_flags & FILE_PATH_PSEUDO)
		return pseudo_path(record, names.empty() ? "" : names.front());
	return names.empty() ? "/" : join_reversed(names);
}

std::string path_of(const inotify_mark_record &record, std::string_view all_names)
{
	if (record.path_flags & (FILE_PATH_DETACHED | FILE_PATH_TRUNCATED | FILE_PATH_UNLINKED))
		return {};
	auto names = names_at(all_names, record.names, record.name_count);
	return names.empty() ? "/" : join_reversed(names);
}

} // namespace bpfckpt::iterators
