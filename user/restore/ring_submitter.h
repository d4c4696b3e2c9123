/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// A thread submits requests that it had submitted before the dump.
//
// It gets descriptors of the files that its requests hold for the moment of the submission: a request holds its file,
// not the number. They have high numbers, because a request that is ready at once may take a free number for good, and
// that is the lowest that the program has free.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "user/restore/buffer_ring.h"
#include "user/restore/ring_operands.h"
#include "user/restore/ring_parts.h"

namespace bpfckpt::restore {

// The requests of one thread, as many at a time as the queue, the descriptors and the operands allow.
class Submitter {
public:
	Submitter(const NewRing &ring, target::Tracee &thread, const OpenFiles &files)
		: ring_(ring), thread_(thread), files_(files)
	{
	}
	Result<> open();
	// `head`: the place of the first in the SQ.
	Result<> submit(std::span<const uring::Chain *const> chains, uint32_t head);
	// Each worker that is to be made is made by the thread itself, which that would interrupt later
	// (io_uring/io-wq.c: io_queue_worker_create()): until as many have begun as had, and all of them sleep.
	Result<> wait_for_workers();
	// Runs what is due and left for the thread to do.
	Result<> run_deferred();
	Result<> close();

private:
	[[nodiscard]] bool fits(const uring::Chain &chain) const;
	// That one submission cannot be the same for.
	[[nodiscard]] bool disagree(const images::Request &one, const images::Request &other) const;
	[[nodiscard]] bool finds_its_words(const images::Request &request) const;
	void take(const uring::Chain &chain);
	Result<> submit_taken();
	Result<> open_files();
	Result<> move_up(std::span<int *const> numbers);
	Result<> write_requests();
	Result<std::vector<BufferLoan>> lend_buffers();
	Result<std::vector<PassingRing>> lend_rings();
	[[nodiscard]] bool is_ready(const images::Request &request) const;
	Result<> enter(uint32_t count);
	Result<> enter_with_limit(uint32_t count);
	[[nodiscard]] io_uring_sqe sqe_of(const images::Request &request);

	const NewRing &ring_;
	target::Tracee &thread_;
	const OpenFiles &files_;
	uint32_t head_ = 0;    // of the SQ
	uint32_t workers_ = 0; // that have begun, with all that was submitted
	uint64_t mapping_ = 0;
	size_t mapping_size_ = 0;
	int tool_ = kToolNumber; // bpfckpt and the ring, in the thread's process
	int number_ = -1;
	bool opened_ = false; // for this
	uint64_t lowest_ = 0; // of the numbers for files
	std::vector<const images::Request *> taken_;
	std::vector<const images::Request *> particular_; // of these, those that others may disagree with
	std::unordered_set<uint32_t> selecting_;          // buffer groups of theirs
	std::unordered_set<uint32_t> taking_;             // and of those that take a buffer
	std::unordered_map<uint64_t, uint64_t> words_;    // futexes that they wait for: address, value
	std::unordered_map<uint32_t, int> numbers_;       // File.id: descriptor in the thread's process
	Operands operands_;
	size_t operand_size_ = 0; // at most, with all that is taken
};

} // namespace bpfckpt::restore
