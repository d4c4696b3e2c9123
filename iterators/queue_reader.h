/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// QueueReader: where the content of pipes and of unix sockets' queues lies, by the addresses of these
// (bpf/queue.bpf.c); for those that no descriptor leads to. PageReader reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "iterators/queue_record.h"
#include "user/util/result.h"

namespace bpfckpt::iterators {

class QueueReader {
public:
	// Before the freeze, if queues of that kind are there by then. Errors: those of BpfObject::load().
	static Result<QueueReader> load();
	QueueReader(QueueReader &&) noexcept;
	QueueReader &operator=(QueueReader &&) noexcept;
	~QueueReader();

	// Of a struct pipe_inode_info, and of a struct sock; valid until the next call. Errors: kLimit if there are
	// more pieces than kMostPieces.
	Result<std::span<const queue_piece_record>> pieces_of_pipe(uint64_t pipe);
	Result<std::span<const queue_piece_record>> pieces_of_socket(uint64_t sock);
	static constexpr uint32_t kMostPieces = 1 << 16;

private:
	struct Objects;
	explicit QueueReader(std::unique_ptr<Objects> objects);
	std::unique_ptr<Objects> objects_;
};

} // namespace bpfckpt::iterators
