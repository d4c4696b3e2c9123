// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/fd_index.h"

#include <algorithm>

#include <fmt/core.h>

namespace bpfckpt::collect {

// One pass tells the fds of a process, thread by thread, in a row: the leader's table is the process's; where the
// leader has exited, that of the first thread, which each other thread tells anew.
void FdIndex::add_tables(std::span<const fd_record> fds)
{
	while (!fds.empty()) {
		uint32_t pid = fds.front().pid;
		auto end = std::ranges::find_if(fds, [pid](const fd_record &fd) { return fd.pid != pid; });
		auto pass = fds.first(static_cast<size_t>(end - fds.begin()));
		fds = fds.subspan(pass.size());
		auto leader = std::ranges::find_if(pass, [](const fd_record &fd) { return fd.tid == fd.pid; });
		const fd_record &teller = leader == pass.end() ? pass.front() : *leader;
		Table &table = tables_.emplace_back(Table{pid, 0, teller.files, slots_.size()});
		for (const fd_record &fd : pass)
			if (fd.tid == teller.tid && fd.files == table.files)
				slots_.push_back(&fd);
		table.size = static_cast<uint32_t>(slots_.size() - table.first);
	}
	for (const Table &table : tables_)
		for (size_t i = 0; i < table.size; i++) {
			const fd_record &fd = *slots_[table.first + i];
			holders_[fd.file].push_back({fd.pid, fd.fd});
		}
	std::ranges::stable_sort(tables_, {}, &Table::pid);
}

// A shared table counts once, by the first thread that tells it.
void FdIndex::count_slots(std::span<const fd_record> fds)
{
	std::unordered_map<uint64_t, uint32_t> teller;
	for (const fd_record &fd : fds)
		if (teller.try_emplace(fd.files, fd.tid).first->second == fd.tid)
			slots_of_[fd.file]++;
}

FdIndex::FdIndex(std::span<const fd_record> fds, const images::Document &document)
{
	for (const images::Process &process : document.processes())
		processes_.emplace_back(process.pid(), &process);
	std::ranges::sort(processes_);
	slots_.reserve(fds.size());
	add_tables(fds);
	count_slots(fds);
}

const FdIndex::Table *FdIndex::find(uint32_t pid) const
{
	auto it = std::ranges::lower_bound(tables_, pid, {}, &Table::pid);
	return it == tables_.end() || it->pid != pid ? nullptr : &*it;
}

std::span<const fd_record *const> FdIndex::table_of(uint32_t pid) const
{
	const Table *table = find(pid);
	return table ? std::span(slots_).subspan(table->first, table->size) : std::span<const fd_record *const>();
}

uint64_t FdIndex::file_at(uint32_t pid, uint32_t fd) const
{
	auto table = table_of(pid);
	auto slot = std::ranges::lower_bound(table, fd, {}, &fd_record::fd);
	return slot == table.end() || (*slot)->fd != fd ? 0 : (*slot)->file;
}

std::optional<uint32_t> FdIndex::descriptor_of(uint32_t pid, uint64_t file) const
{
	auto table = table_of(pid);
	auto slot = std::ranges::find(table, file, &fd_record::file);
	return slot == table.end() ? std::nullopt : std::optional((*slot)->fd);
}

std::span<const Fd> FdIndex::holders_of(uint64_t file) const
{
	auto it = holders_.find(file);
	return it == holders_.end() ? std::span<const Fd>() : std::span<const Fd>(it->second);
}

uint32_t FdIndex::slots_of(uint64_t file) const
{
	auto it = slots_of_.find(file);
	return it == slots_of_.end() ? 0 : it->second;
}

bool FdIndex::names(uint64_t epoll, uint32_t fd, uint64_t file) const
{
	return std::ranges::any_of(holders_of(epoll),
				   [&](const Fd &holder) { return file_at(holder.pid, fd) == file; });
}

uint32_t FdIndex::owner_of(uint64_t files_struct) const
{
	auto it = std::ranges::find(tables_, files_struct, &Table::files);
	return it == tables_.end() ? 0 : it->pid;
}

std::string FdIndex::describe(uint64_t file, uint32_t id) const
{
	auto holders = holders_of(file);
	if (holders.empty())
		return fmt::format("file {}", id);
	uint32_t pid = holders.front().pid;
	auto process =
		std::ranges::lower_bound(processes_, std::pair{pid, static_cast<const images::Process *>(nullptr)});
	bool found = process != processes_.end() && process->first == pid;
	return fmt::format("fd {} of pid {} ({})", holders.front().fd, pid, found ? process->second->comm() : "?");
}

} // namespace bpfckpt::collect
