// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/fd_index.h"

#include <algorithm>

#include <fmt/core.h>

namespace bpfckpt::collect {

static uint64_t key_of(uint32_t pid, uint32_t fd)
{
	return static_cast<uint64_t>(pid) << 32 | fd;
}

FdIndex::FdIndex(std::span<const fd_record> fds, const images::Document &document)
{
	for (const images::Process &process : document.processes())
		comm_.emplace(process.pid(), process.comm());
	// The leader's table is the process's; where the leader has exited, that of the first thread.
	for (const fd_record &fd : fds)
		if (fd.tid == fd.pid || !table_of_pid_.contains(fd.pid))
			table_of_pid_[fd.pid] = fd.files;
	std::unordered_map<uint64_t, uint32_t> teller; // a shared table counts once, by the first thread that tells it
	for (const fd_record &fd : fds) {
		if (teller.try_emplace(fd.files, fd.tid).first->second == fd.tid)
			slots_[fd.file]++;
		if (table_of_pid_[fd.pid] != fd.files)
			continue;
		// Each thread of a process without a living leader tells the table anew.
		if (!by_pid_fd_.emplace(key_of(fd.pid, fd.fd), fd.file).second)
			continue;
		holders_[fd.file].push_back({fd.pid, fd.fd});
		tables_[fd.pid].push_back(&fd);
	}
}

std::span<const fd_record *const> FdIndex::table_of(uint32_t pid) const
{
	auto it = tables_.find(pid);
	return it == tables_.end() ? std::span<const fd_record *const>() : std::span(it->second);
}

std::span<const Fd> FdIndex::holders_of(uint64_t file) const
{
	auto it = holders_.find(file);
	return it == holders_.end() ? std::span<const Fd>() : std::span<const Fd>(it->second);
}

uint32_t FdIndex::slots_of(uint64_t file) const
{
	auto it = slots_.find(file);
	return it == slots_.end() ? 0 : it->second;
}

bool FdIndex::names(uint64_t epoll, uint32_t fd, uint64_t file) const
{
	return std::ranges::any_of(holders_of(epoll), [&](const Fd &holder) {
		auto it = by_pid_fd_.find(key_of(holder.pid, fd));
		return it != by_pid_fd_.end() && it->second == file;
	});
}

uint32_t FdIndex::owner_of(uint64_t files_struct) const
{
	for (auto [pid, files] : table_of_pid_)
		if (files == files_struct)
			return pid;
	return 0;
}

std::string FdIndex::describe(uint64_t file, uint32_t id) const
{
	auto holders = holders_of(file);
	if (holders.empty())
		return fmt::format("file {}", id);
	auto comm = comm_.find(holders.front().pid);
	return fmt::format("fd {} of pid {} ({})", holders.front().fd, holders.front().pid,
			   comm == comm_.end() ? "?" : comm->second);
}

} // namespace bpfckpt::collect
