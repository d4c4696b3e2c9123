/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What of a ring depends on the rest of the tree: who holds it, which thread has to set it up again, and what of that
// cannot be done. The same for dump, which refuses it, and for the plan of a restore.
#pragma once

#include <unordered_map>
#include <vector>

#include "images/document.pb.h"
#include "user/util/result.h"

namespace bpfckpt::uring {

// A thread that sets up a ring; it also registers the buffers, whose memory is its own.
struct Maker {
	const images::Process *process = nullptr;
	const images::Thread *thread = nullptr;
};

class RingHolders {
public:
	explicit RingHolders(const images::Document &document);

	// Processes with a descriptor, a mapping, or a registered index of it.
	[[nodiscard]] const std::vector<const images::Process *> &of(const images::Ring &ring) const;
	// The thread that must, or else may best, set it up; without one nobody of the tree can.
	[[nodiscard]] Maker maker_of(const images::Ring &ring) const;
	// A user thread of the tree, by its tid; without one: none.
	[[nodiscard]] Maker thread_of(uint32_t tid) const;
	[[nodiscard]] bool is_writable_in(const images::Process &process, uint64_t address, uint64_t length) const;
	// Whether a process has what a ring needs of the one that sets it up, besides buffers.
	[[nodiscard]] bool is_of(const images::Process &process, const images::Ring &ring) const;
	// Whether a process can register the buffers of a ring that say nothing of whose memory they are: all of them
	// in images that know of no address_space.
	[[nodiscard]] bool has_buffers_of(const images::Process &process, const images::Ring &ring) const;

private:
	void add(uint32_t ring, const images::Process &process);
	[[nodiscard]] const images::Memory *memory_of(const images::Process &process) const;

	std::unordered_map<uint32_t, std::vector<const images::Process *>> holders_; // Ring.id
	std::unordered_map<uint32_t, Maker> threads_;                                // tid
	std::unordered_map<uint32_t, const images::Process *> kernel_threads_;       // tid of a thread of io_uring
	std::unordered_map<uint32_t, const images::Memory *> memories_;              // Memory.id
};

// A ring that may register other rings' descriptors in this thread.
[[nodiscard]] bool may_register(const images::Ring &ring, const images::Thread &thread);

// One of those that a thread uses, and through which it may do so; nullptr: there is none.
[[nodiscard]] const images::Ring *ring_to_register(const images::Document &document, const images::Thread &thread);

Findings check_rings(const images::Document &document);

} // namespace bpfckpt::uring
