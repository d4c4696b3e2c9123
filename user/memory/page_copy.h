/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageCopy: a list of pages of stopped processes and of memory objects, copied one after the other into a file.
//
// Few pages are copied by one process_vm_readv(2). A full disk is an errno, where a mapped file gives SIGBUS.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "user/memory/chunk_queue.h"
#include "user/util/interrupt.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::memory {

class PageCopy {
public:
	using Source = uint32_t;
	Source add_process(pid_t pid);
	Source add_object(UniqueFd fd, std::string name);
	// Ranges of it are offsets. It must stay until run() is done.
	Source add_memory(std::span<const std::byte> bytes);

	// Plans the copy of a range; returns its offset in the file. `forced`: the mapping does not allow reading.
	uint64_t add(Source source, Range range, bool forced = false);
	// Bytes planned: the size of the file.
	[[nodiscard]] uint64_t bytes() const { return queue_.bytes(); }

	// Before the freeze: room in memory, touched now, for the first `bytes` of the file. run() leaves them there.
	void stage(uint64_t bytes);
	// After the thaw: writes what run() left in memory, and gives it back. Errors: what write(2) says.
	Result<> write_staged(int out);

	// Copies what was planned. Errors: a page that cannot be read, by its address; what write(2) and may_go_on()
	// say.
	Result<> run(int out, const MayGoOn &may_go_on = may_always_go_on);

private:
	struct Origin {
		pid_t pid = 0;
		UniqueFd object;
		std::string name;
		std::shared_ptr<UniqueFd> mem; // /proc/PID/mem, opened when first needed
		std::span<const std::byte> memory = {};
	};
	Result<> read_chunk(const Chunk &chunk, std::span<std::byte> buffer);
	Result<> copy_chunk(const Chunk &chunk, std::span<std::byte> buffer, int out);
	Result<std::shared_ptr<UniqueFd>> memory_of(Source source);
	Result<> read_process(const Chunk &chunk, std::span<std::byte> buffer);
	static Result<> read_forced(const Origin &origin, int mem, Range range, std::span<std::byte> buffer);
	static Result<> copy_memory(const Origin &origin, const Chunk &chunk, std::span<std::byte> buffer);
	Result<> read_object(const Origin &origin, const Chunk &chunk, std::span<std::byte> buffer);

	std::vector<Origin> origins_;
	ChunkQueue queue_;
	std::vector<std::byte> staged_; // the beginning of the file
	std::mutex mutex_;              // for Origin::mem and the next one
	std::deque<Source> open_;       // that have a `mem`
};

} // namespace bpfckpt::memory
