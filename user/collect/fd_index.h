/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// FdIndex: which fds of which processes of the tree name a struct file, and what a table holds at an fd.
//
// There may be as many tables as the system has room for processes: what is kept of each is a few numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "images/document.pb.h"
#include "iterators/file_record.h"

namespace bpfckpt::collect {

struct Fd {
	uint32_t pid = 0;
	uint32_t fd = 0;
};

class FdIndex {
public:
	// Both must stay.
	FdIndex(std::span<const fd_record> fds, const images::Document &document);

	// Of the process's own table, by fd: a thread that has unshared its files is not the process.
	[[nodiscard]] std::span<const fd_record *const> table_of(uint32_t pid) const;
	// The struct file that a descriptor of that table names; 0: none.
	[[nodiscard]] uint64_t file_at(uint32_t pid, uint32_t fd) const;
	// The lowest descriptor of that table that names a struct file.
	[[nodiscard]] std::optional<uint32_t> descriptor_of(uint32_t pid, uint64_t file) const;
	// Empty: no fd names it.
	[[nodiscard]] std::span<const Fd> holders_of(uint64_t file) const;
	// How many slots of different tables name it.
	[[nodiscard]] uint32_t slots_of(uint64_t file) const;
	// What `fd` names in the table of one of the holders of `epoll`.
	[[nodiscard]] bool names(uint64_t epoll, uint32_t fd, uint64_t file) const;
	// The process whose fd table this is; 0: none of the tree.
	[[nodiscard]] uint32_t owner_of(uint64_t files_struct) const;
	// "fd 7 of pid 12 (nginx)"; "file 3" if no fd names it.
	[[nodiscard]] std::string describe(uint64_t file, uint32_t id) const;

private:
	struct Table {
		uint32_t pid = 0;
		uint32_t size = 0;
		uint64_t files = 0; // struct files_struct
		size_t first = 0;   // in slots_
	};
	void add_tables(std::span<const fd_record> fds);
	void count_slots(std::span<const fd_record> fds);
	[[nodiscard]] const Table *find(uint32_t pid) const;

	std::vector<Table> tables_; // by pid
	std::vector<const fd_record *> slots_;
	std::vector<std::pair<uint32_t, const images::Process *>> processes_; // by pid
	std::unordered_map<uint64_t, std::vector<Fd>> holders_;
	std::unordered_map<uint64_t, uint32_t> slots_of_;
};

} // namespace bpfckpt::collect
