/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Registered buffers of all rings: who has their memory, what has to be brought about there first, and which of them
// are one (IORING_REGISTER_CLONE_BUFFERS).
#pragma once

#include <map>

#include "user/restore/pinned_memory.h"
#include "user/restore/ring_parts.h"
#include "user/uring/clones.h"
#include "user/uring/holders.h"

namespace bpfckpt::restore {

class RingBuffers {
public:
	RingBuffers(Tree &tree, const Plan &plan, const OpenFiles &files, const PageImage &pages)
		: tree_(tree),
		  plan_(plan),
		  files_(files),
		  pages_(pages),
		  holders_(*plan.document),
		  origins_(uring::clone_origins(*plan.document))
	{
	}
	// When all processes have their memory.
	Result<> prepare();
	// Rings in the order of the plan: clones come from one that is there.
	Result<> register_all(const NewRing &ring);
	Result<> finish();

private:
	// Slots that one call clones; none: the whole table.
	struct Clones {
		const images::Ring *from = nullptr;
		uint32_t first = 0; // there
		uint32_t slot = 0;  // here
		uint32_t count = 0;
	};
	[[nodiscard]] bool is_origin(const images::Ring &ring, const images::FixedBuffer &buffer) const;
	[[nodiscard]] std::vector<Clones> clones_of(const images::Ring &ring) const;
	[[nodiscard]] Member *owner_of(const images::Ring &ring, const images::FixedBuffer &buffer) const;
	Result<> register_own(const NewRing &ring, Member &owner, std::span<const images::FixedBuffer *const> buffers);
	Result<> add_calls(std::span<const images::FixedBuffer *const> buffers, Member &owner, int number,
			   target::SyscallBatch &batch);
	static const images::Ring *whole_of(const images::Ring &ring, std::span<const Clones> clones);
	Result<> clone(const NewRing &ring, const Clones &clones) const;
	static Result<> clear_slots(const NewRing &ring, const images::Ring &from);

	Tree &tree_;
	const Plan &plan_;
	const OpenFiles &files_;
	const PageImage &pages_;
	uring::RingHolders holders_;
	std::unordered_map<uint32_t, uring::BufferSlot> origins_; // by FixedBuffer.object
	std::map<Member *, PinnedMemory> pinned_;
};

} // namespace bpfckpt::restore
