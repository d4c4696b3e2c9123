/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// FdIndex: which fds of which processes of the tree name a struct file, and what a table holds at an fd.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
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
	FdIndex(std::span<const fd_record> fds, const images::Document &document);

	// Of the process's own table, by fd: a thread that has unshared its files is not the process.
	[[nodiscard]] std::span<const fd_record *const> table_of(uint32_t pid) const;
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
	std::map<uint32_t, uint64_t> table_of_pid_; // pid -> struct files_struct
	std::unordered_map<uint32_t, std::vector<const fd_record *>> tables_;
	std::unordered_map<uint32_t, std::string> comm_;
	std::unordered_map<uint64_t, std::vector<Fd>> holders_;
	std::unordered_map<uint64_t, uint32_t> slots_;
	std::unordered_map<uint64_t, uint64_t> by_pid_fd_;
};

} // namespace bpfckpt::collect
