/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageCopy: a list of pages of stopped processes and of memory objects, copied one after the other into a file.
//
// Each thread reads 128 KiB into a buffer of its own, which stays in the cache, and writes it out: after a fallocate()
// this was the fastest of the ways whose memory is bounded (docs/performance.md), and a full disk is an errno, where a
// mapped file gives SIGBUS. Few pages are copied by the caller alone: one process_vm_readv(2) for many ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include <sys/types.h>
#include <sys/uio.h>

#include "user/memory/range.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::memory {

class PageCopy {
public:
	// Allocates the buffers.
	PageCopy();

	using Source = uint32_t;
	Source add_process(pid_t pid);
	Source add_object(UniqueFd fd, std::string name);

	// Plans the copy of a range; returns its offset in the file. `forced`: the mapping does not allow reading.
	uint64_t add(Source source, Range range, bool forced = false);
	// Bytes planned: the size of the file.
	[[nodiscard]] uint64_t bytes() const { return bytes_; }

	// Copies what was planned. Errors: a page that cannot be read, by its address; what write(2) says.
	Result<> run(int out);

private:
	struct Origin {
		pid_t pid = 0;
		UniqueFd object;
		std::string name;
		UniqueFd mem; // /proc/PID/mem, opened when first needed
	};
	struct Piece {
		uint64_t start;
		uint64_t length;
		Source source;
		bool forced;
	};
	// What one read and one write move: pieces of one source, consecutive in the file.
	struct Chunk {
		Source source = 0;
		bool forced = false;
		uint64_t offset = 0;
		uint64_t length = 0;
		std::vector<iovec> ranges;
	};

	void work(std::vector<std::byte> &buffer, int out);
	Result<> copy_chunk(const Chunk &chunk, std::span<std::byte> buffer, int out);
	bool claim(Chunk &chunk);
	Result<> read_process(const Chunk &chunk, std::span<std::byte> buffer);
	Result<> read_forced(Origin &origin, Range range, std::span<std::byte> buffer);
	Result<> read_object(const Origin &origin, const Chunk &chunk, std::span<std::byte> buffer);

	std::vector<Origin> origins_;
	std::vector<Piece> pieces_;
	uint64_t bytes_ = 0;
	std::vector<std::vector<std::byte>> buffers_;

	std::mutex mutex_; // for what follows
	size_t next_piece_ = 0;
	uint64_t next_in_piece_ = 0;
	uint64_t next_offset_ = 0;
	Result<> outcome_;
};

} // namespace bpfckpt::memory
