/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Who of a tree holds a ring, and which thread has to set it up again.
#pragma once

#include <unordered_map>
#include <vector>

#include "images/document.pb.h"

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
	// The first thread of a process of the tree.
	[[nodiscard]] Maker leader_of(uint32_t pid) const;
	[[nodiscard]] bool is_writable_in(const images::Process &process, uint64_t address, uint64_t length) const;
	// Whether a process has what a ring needs of the one that sets it up, besides buffers.
	[[nodiscard]] bool is_of(const images::Process &process, const images::Ring &ring) const;
	// Whether a process can register the buffers of a ring that say nothing of whose memory they are: all of them
	// in images that know of no address_space.
	[[nodiscard]] bool has_buffers_of(const images::Process &process, const images::Ring &ring) const;

	// Whose memory a buffer of a ring is registered from: a process that has its pages; otherwise it does not
	// matter, and it is the one that sets up the ring.
	[[nodiscard]] const images::Process *owner_of(const images::FixedBuffer &buffer,
						      const images::Process *maker) const;
	// Its memory in the document; nullptr: it has none.
	[[nodiscard]] const images::Memory *memory_of(const images::Process &process) const;

private:
	void add(uint32_t ring, const images::Process &process);
	[[nodiscard]] Maker find_maker(const images::Ring &ring) const;

	std::unordered_map<uint32_t, std::vector<const images::Process *>> holders_; // Ring.id
	std::unordered_map<uint32_t, Maker> threads_;                                // tid
	std::unordered_map<uint32_t, Maker> leaders_;                                // pid
	std::unordered_map<uint32_t, const images::Process *> kernel_threads_;       // tid of a thread of io_uring
	std::unordered_map<uint32_t, const images::Memory *> memories_;              // Memory.id
	std::unordered_map<uint32_t, const images::Process *> processes_;            // Memory.id
	// Of each ring of the document: its buffers and requests ask for it one by one, and it looks at all buffers.
	std::unordered_map<const images::Ring *, Maker> makers_;
};

// One that does not say whose memory it is.
[[nodiscard]] bool is_of_unknown(const images::FixedBuffer &buffer);

} // namespace bpfckpt::uring
