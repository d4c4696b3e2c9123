/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// FileReader: fd tables and open file descriptions by BPF (bpf/file.bpf.c).
//
// Before the freeze: load(), attach(). Inside: run() lists the fd tables, describe() reads the struct files that the
// caller names (those of the fds, and those that only a mapping or an io_uring slot holds). Afterwards: the spans.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "iterators/file_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

using FileKind = file_kind;

// The whole answer: by f_op, by mode, by file system.
FileKind kind_of(const file_record &record);
// "eventfd": the word of images/file.proto.
const char *name_of(FileKind kind);

struct FileCapacity {
	uint32_t fds = 1 << 14;
	uint32_t files = 1 << 14;
	uint32_t epoll_items = 1 << 13;
	uint32_t inotify_marks = 1 << 10;
	uint32_t pipe_buffers = 1 << 12;
	uint32_t locks = 1 << 8;
	uint32_t openers = 1 << 8;
	uint32_t sockets = 1 << 11;
	uint32_t messages = 1 << 12;
	uint32_t holders = 1 << 14;
	uint32_t name_bytes = 1 << 20; // rounded up to a power of two
};

// All that one round has read: views of the maps, valid until the next one.
struct FileRecords {
	std::span<const fd_record> fds = {};
	std::span<const file_record> files = {};
	std::span<const epoll_item_record> epoll_items = {};
	std::span<const inotify_mark_record> inotify_marks = {};
	std::span<const pipe_buffer_record> pipe_buffers = {};
	std::span<const lock_record> locks = {};
	std::span<const socket_record> sockets = {};
	std::span<const socket_message_record> messages = {};
	std::string_view names = {}; // of path_of()
	uint64_t hz = 0;             // jiffies of a second
};

class FileReader {
public:
	// Learns the kinds of files from files of our own and loads the programs.
	static Result<FileReader> load(const FileCapacity &capacity);
	FileReader(FileReader &&) noexcept;
	FileReader &operator=(FileReader &&) noexcept;
	~FileReader();

	// The processes whose fd tables run() lists; replaces those of an earlier call.
	Result<> attach(std::span<const unsigned> pids);

	// Lists the fd tables anew and forgets what was described. Code::kLimit: see needed().
	Result<> run();
	// Reads these struct files and what their epoll items watch; each is read once between two runs, NULL is
	// ignored.
	Result<> describe(std::span<const uint64_t> files);
	// Those of fds().
	Result<> describe_fds();
	// Who in the whole system holds one of these (see holder_record), but the processes `inside`. For after the
	// thaw. Of an object that has such holders, is_held_inside() says whether one of those has it, too.
	Result<> find_holders(std::span<const uint64_t> objects, std::span<const uint32_t> inside);
	[[nodiscard]] bool is_held_inside(uint64_t object) const;

	[[nodiscard]] std::span<const fd_record> fds() const;
	[[nodiscard]] std::span<const file_record> files() const;
	[[nodiscard]] std::span<const epoll_item_record> epoll_items() const;
	[[nodiscard]] std::span<const pipe_buffer_record> pipe_buffers() const;
	[[nodiscard]] std::span<const socket_record> sockets() const;
	[[nodiscard]] std::span<const socket_message_record> messages() const;
	[[nodiscard]] std::span<const opener_record> openers() const;
	[[nodiscard]] std::span<const holder_record> holders() const;

	// NULL if it was not described.
	[[nodiscard]] const file_record *find(uint64_t file) const;
	// The struct file that a process has at this number; 0: none.
	[[nodiscard]] uint64_t file_at(uint32_t pid, uint32_t fd) const;
	// As iterators::path_of().
	[[nodiscard]] std::string path_of(const file_record &record) const;
	[[nodiscard]] FileRecords records() const;

	// For a load() anew, after Code::kLimit: at least the present capacity.
	[[nodiscard]] FileCapacity needed() const;

private:
	struct Impl;
	explicit FileReader(std::unique_ptr<Impl> impl);
	std::unique_ptr<Impl> impl_;
};

} // namespace bpfckpt::iterators
