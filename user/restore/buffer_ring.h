/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A ring of provided buffers (struct io_uring_buf_ring): entries that the program writes, and a position that is the
// kernel's alone.
#pragma once

#include <optional>
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
	Result<> write(std::span<const io_uring_buf> entries, size_t index = 0);
	Result<> read(std::span<io_uring_buf> entries, size_t index = 0) const;
	// As the program had it.
	[[nodiscard]] Result<std::vector<io_uring_buf>> content() const;

private:
	BufferRing(const NewRing &ring, const images::BufferGroup &group) : ring_(ring), group_(group) {}

	const NewRing &ring_;
	const images::BufferGroup &group_;
	Mapping mapping_ = {};
};

// The number of buffers taken, modulo 2^16, as `thread` is told, which has the ring as descriptor `number`. Nothing
// before v6.8, or where the ring's restrictions do not let it ask.
Result<std::optional<uint16_t>> head_of_buffers(target::Tracee &thread, int number, const images::BufferGroup &group);

// What lies at the head of a ring of buffers for the moment of a submission, in place of what the program has put there
// by now: the buffers that a send takes again, or something that reads find when they look for a buffer.
class BufferLoan {
public:
	// The thread submits, and has the ring as descriptor `number`. Of one group all requests look into it, or one
	// takes from it.
	static Result<BufferLoan> lend(const NewRing &ring, target::Tracee &thread, int number,
				       const images::BufferGroup &group,
				       std::span<const images::Request *const> requests);
	// Errors: Internal, if the kernel has not taken it, or has taken it from who only looks.
	Result<> give_back(target::Tracee &thread, int number);

private:
	BufferLoan(const images::BufferGroup &group, BufferRing memory) : group_(group), memory_(std::move(memory)) {}
	Result<> put(uint16_t head, std::span<const io_uring_buf> lent);

	const images::BufferGroup &group_;
	BufferRing memory_;
	io_uring_buf first_before_ = {};                      // has the tail
	std::vector<std::pair<size_t, io_uring_buf>> before_; // by index
	std::optional<uint16_t> head_after_ = {};
};

// A ring of one buffer in place of a classic group that has none (IORING_REGISTER_PBUF_RING), for the moment of a
// submission: what reads find when they look for a buffer, and give back.
class PassingRing {
public:
	// In a page of the thread's at `address`. `longest`: what one of the reads asks for.
	static Result<PassingRing> lend(target::Tracee &thread, int number, uint32_t group, uint64_t address,
					uint32_t longest);
	// Errors: Internal, if a read has taken it.
	Result<> give_back(target::Tracee &thread, int number);

private:
	explicit PassingRing(uint32_t group) { group_.set_id(group); }

	images::BufferGroup group_;
	bool tells_head_ = false;
};

} // namespace bpfckpt::restore
