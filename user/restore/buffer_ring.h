/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A ring of provided buffers (struct io_uring_buf_ring): entries that the program writes, and a position that is the
// kernel's alone.
#pragma once

#include <span>
#include <vector>

#include "user/restore/ring_parts.h"
#include "user/util/mapping.h"

namespace bpfckpt::restore {

// Its content, wherever it lies.
class BufferRing {
public:
	// `ring` and `group` outlive it.
	static Result<BufferRing> open(const NewRing &ring, const images::BufferGroup &group);
	Result<> write(std::span<const io_uring_buf> entries);
	// As the program had it.
	[[nodiscard]] Result<std::vector<io_uring_buf>> content() const;

private:
	BufferRing(const NewRing &ring, const images::BufferGroup &group) : ring_(ring), group_(group) {}

	const NewRing &ring_;
	const images::BufferGroup &group_;
	Mapping mapping_ = {};
};

// The number of buffers taken, modulo 2^16, as `thread` is told, which has the ring as descriptor `number`. Nothing
// before v6.8.
Result<std::optional<uint16_t>> head_of_buffers(target::Tracee &thread, int number, const images::BufferGroup &group);

// The buffer that a request takes again (images::Request.taken_buffer) lies at the head for the moment of the
// submission: in the place of it the program may have put another one. So does one for a read that only looks for one.
class BufferLoan {
public:
	static Result<BufferLoan> lend(const NewRing &ring, target::Tracee &thread, int number,
				       const images::Request &request);
	// Errors: Internal, if the kernel has taken it from a read, or has not taken it.
	Result<> give_back(target::Tracee &thread, int number);

private:
	BufferLoan(const images::BufferGroup &group, BufferRing memory) : group_(group), memory_(std::move(memory)) {}

	const images::BufferGroup &group_;
	BufferRing memory_;
	std::vector<io_uring_buf> before_ = {};
	std::optional<uint16_t> head_after_ = {};
};

} // namespace bpfckpt::restore
