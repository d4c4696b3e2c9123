/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What pipes and unix sockets hold: read while the tree is stopped, without disturbing it, added to the messages later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "iterators/file_reader.h"
#include "iterators/page_reader.h"
#include "iterators/queue_reader.h"
#include "user/collect/context.h"

namespace bpfckpt::collect {

class Borrower;

struct KernelPages {
	iterators::PageReader &reader;
	const iterators::PageFrames &frames; // which know where contents are
};

class Contents {
public:
	// Inside the freeze, after describe(). Costs nothing where all queues are empty. What cannot be read is left
	// out, and is a finding of add_to().
	static Result<Contents> capture(const iterators::FileReader &reader);
	// Whether there are some that only slots or requests of rings hold.
	[[nodiscard]] bool has_hidden() const { return !hidden_pipes_.empty() || !hidden_sockets_.empty(); }
	// Inside the freeze: reads these through the kernel's own mapping of memory.
	void read_hidden(iterators::QueueReader &reader, const KernelPages &memory);
	// After collect_files().
	void add_to(Context &ctx) const;

private:
	struct PipeData {
		uint64_t inode = 0;
		std::string bytes;
	};
	struct SocketData {
		uint64_t file = 0;
		std::vector<std::string> messages;
	};
	// One that no descriptor leads to.
	struct HiddenQueue {
		uint64_t object = 0; // struct pipe_inode_info, struct sock
		uint64_t key = 0;    // as that of PipeData and SocketData
		std::vector<uint32_t> lengths = {};
		std::string reason = {}; // why it could not be read
	};
	Result<> capture_pipes(const iterators::FileReader &reader, Borrower &borrower);
	void capture_sockets(const iterators::FileReader &reader, Borrower &borrower);
	void refuse_missing(Context &ctx) const;
	Result<std::vector<std::string>> read_queue(const HiddenQueue &queue,
						    Result<std::span<const queue_piece_record>> pieces,
						    const KernelPages &memory);

	std::vector<HiddenQueue> hidden_pipes_;
	std::vector<HiddenQueue> hidden_sockets_;
	uint64_t hidden_bytes_ = 0; // of pages that were read
	std::vector<PipeData> pipes_;
	std::vector<SocketData> sockets_;
};

} // namespace bpfckpt::collect
