/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Open file descriptions (struct file). Each is opened once, here in bpfckpt, and taken over by the processes with
// pidfd_getfd(2), so that it stays one however many descriptors and processes share it.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "user/restore/pages.h"
#include "user/restore/plan.h"
#include "user/restore/tree.h"
#include "user/target/batch.h"
#include "user/util/id_set.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::restore {

struct LateSeals {
	UniqueFd memfd;
	uint32_t seals = 0;
};

class OpenFiles {
public:
	OpenFiles(const Plan &plan, const PageImage &pages) : plan_(plan), pages_(pages) {}
	~OpenFiles();
	OpenFiles(const OpenFiles &) = delete;
	OpenFiles &operator=(const OpenFiles &) = delete;

	// Everything that needs no process of the tree. A failure leaves no name behind.
	Result<> open();
	// What has to be made late: pidfds and unix sockets need the processes; inotify would see what restore does to
	// files.
	Result<> open_late(Tree &tree);
	// Memfds that are sealed against new mappings. Once the memory of all processes is mapped.
	Result<> seal();
	// A working directory that was deleted. While the descriptor table is empty.
	Result<> enter_directory(Member &member);
	// The descriptors of a process, once per table; then the items of the epoll instances that nobody had before.
	Result<> install(Member &member);

	// A ring that was made elsewhere.
	void adopt(uint32_t file, UniqueFd fd) { keep(file, std::move(fd)); }

	// Descriptor in bpfckpt; -1: not open.
	[[nodiscard]] int fd(uint32_t file) const;
	// A mapping of the object can be made with it (shared anonymous memory); -1: not open.
	[[nodiscard]] int shared_memory_fd(uint32_t id) const;
	// The same, or a memfd that is open for writing.
	[[nodiscard]] int object_fd(uint32_t id) const;
	[[nodiscard]] const Plan &plan() const { return plan_; }

	// From `batch` on, `tool` names bpfckpt in the tracee: pidfd_open(2) as descriptor `at`.
	static void add_tool(target::SyscallBatch &batch, int at);

private:
	Result<UniqueFd> open_file(const images::File &file);
	[[nodiscard]] bool is_late(const images::File &file) const;
	Result<> open_pidfds_like(const images::File &first);
	Result<> open_sockets(const images::File &first, Tree &tree);
	Result<> open_objects(const images::File &first);
	Result<> open_shared_memory(const images::SharedMemory &object);
	Result<> add_epoll_items(Member &member);
	void find_private_eventfds();
	Result<> open_eventfds();
	void keep(uint32_t file, UniqueFd fd) { fds_[file] = std::move(fd); }

	const Plan &plan_;
	const PageImage &pages_;
	std::vector<const images::File *> files_;       // plan_.open_files, without private_eventfds_
	std::unordered_map<uint32_t, UniqueFd> fds_;    // File.id
	std::unordered_map<uint32_t, UniqueFd> shared_; // SharedMemory.id
	// Eventfds under one number of one process, and nowhere else: the process makes them itself.
	IdSet private_eventfds_;
	std::vector<LateSeals> late_seals_;
	std::vector<Mapping> shared_mappings_;      // while it is not mapped elsewhere yet
	std::unordered_map<uint32_t, bool> tables_; // Process.fd_table that is installed
	std::unordered_map<uint32_t, bool> epolls_; // File.id whose items are added
};

// A file of its kind, with flags, position and state; by file_*.cc.
Result<UniqueFd> open_named(const images::File &file);
// By a thread of the process that has its credentials: see policy/opener.h. While the descriptor tables are empty.
Result<UniqueFd> open_as(const images::File &file, const images::Process &opener, Tree &tree);
Result<UniqueFd> open_eventfd(const images::File &file);
[[nodiscard]] int eventfd_flags(const images::File &file);
// `frozen_at_ns`: CLOCK_REALTIME at the freeze.
Result<UniqueFd> open_timerfd(const images::File &file, int64_t frozen_at_ns);
Result<UniqueFd> open_signalfd(const images::File &file, uint64_t mask);
Result<UniqueFd> open_epoll(const images::File &file);
Result<UniqueFd> open_inotify(const images::File &file);

using OpenedFiles = std::vector<std::pair<uint32_t, UniqueFd>>;

// What was in a pipe, as it was cut into packets.
Result<> write_packets(int fd, const images::Pipe &pipe);
// All files of one object: both ends of a pipe or socket pair, a FIFO, a memfd or a deleted file opened more than once.
Result<OpenedFiles> open_pipe(std::span<const images::File *const> files);
Result<OpenedFiles> open_fifo(std::span<const images::File *const> files);
// `late`: seals that wait until the memory is mapped, which they forbid.
Result<OpenedFiles> open_memfd(std::span<const images::File *const> files, const images::SharedMemory *content,
			       const PageImage &pages, LateSeals &late);
Result<OpenedFiles> open_deleted(std::span<const images::File *const> files, const images::SharedMemory *content,
				 const PageImage &pages);
// nullptr: bpfckpt makes it itself, and is who SO_PEERCRED names.
Result<OpenedFiles> open_socket_pair(const images::File &one, const images::File &other, Member *creator);
Result<OpenedFiles> open_lone_socket(const images::File &file, Member *creator);
// One that listens, and whom nobody waits for.
Result<OpenedFiles> open_listener(const images::File &file, Member *creator);
// A TCP socket without a connection. `connect`: it shall have one again.
Result<OpenedFiles> open_unconnected(const images::File &file, bool connect);
Result<> set_socket_options(int fd, const images::File &file);
Result<> listen_as(const images::Socket &socket, int fd, Member &creator);
// All of one process: those of a process that is gone tell by their inode that it was the same.
Result<OpenedFiles> open_pidfds(std::span<const images::File *const> files);

// Another struct file for the same object, with the flags of `file`.
Result<UniqueFd> reopen(int fd, const images::File &file);

[[nodiscard]] std::string name_of(const images::File &file); // "file 3 (/etc/passwd)"

} // namespace bpfckpt::restore
