// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/ring_buffers.h"

#include <algorithm>
#include <set>

#include <sys/syscall.h>
#include <sys/uio.h>

namespace bpfckpt::restore {

using target::SyscallBatch;

namespace {

constexpr unsigned kCloneBuffers = 30; // IORING_REGISTER_CLONE_BUFFERS (v6.12)
constexpr uint32_t kReplace = 2;       // IORING_REGISTER_DST_REPLACE (v6.13)

struct CloneArguments { // struct io_uring_clone_buffers
	uint32_t source;
	uint32_t flags;
	uint32_t source_slot;
	uint32_t slot;
	uint32_t count;
	uint32_t reserved[3];
};

struct BufferUpdate {
	io_uring_rsrc_update2 update;
	iovec buffer;
	uint64_t tag;
};

target::Blob buffer_blob(SyscallBatch &batch, const images::FixedBuffer &buffer)
{
	BufferUpdate one = {};
	one.update.offset = buffer.slot();
	one.update.nr = 1;
	one.buffer = {reinterpret_cast<void *>(buffer.address()), buffer.length()};
	one.tag = buffer.tag();
	return batch.data(std::as_bytes(std::span(&one, 1)),
			  {{offsetof(BufferUpdate, update.data), offsetof(BufferUpdate, buffer)},
			   {offsetof(BufferUpdate, update.tags), offsetof(BufferUpdate, tag)}});
}

} // namespace

bool RingBuffers::is_origin(const images::Ring &ring, const images::FixedBuffer &buffer) const
{
	auto origin = origins_.find(buffer.object());
	return origin == origins_.end() || (origin->second.ring == &ring && origin->second.slot == buffer.slot());
}

Member *RingBuffers::owner_of(const images::Ring &ring, const images::FixedBuffer &buffer) const
{
	for (const RingStep &step : plan_.ring_steps)
		if (step.ring == &ring)
			if (const images::Process *owner = holders_.owner_of(buffer, step.maker.process))
				return &tree_.member(static_cast<pid_t>(owner->pid()));
	return nullptr;
}

Result<> RingBuffers::prepare()
{
	std::map<Member *, std::vector<const images::FixedBuffer *>> moved;
	for (const RingStep &step : plan_.ring_steps)
		for (const images::FixedBuffer &buffer : step.ring->buffers()) {
			Member *owner = owner_of(*step.ring, buffer);
			if (owner && is_origin(*step.ring, buffer) &&
			    !is_in_place(*plan_.memory_of(*owner->image), buffer))
				moved[owner].push_back(&buffer);
		}
	for (auto &[owner, buffers] : moved)
		pinned_.emplace(owner, TRY(PinnedMemory::create(*owner, plan_, files_, pages_, buffers)));
	return {};
}

Result<> RingBuffers::add_calls(std::span<const images::FixedBuffer *const> buffers, Member &owner, int number,
				SyscallBatch &batch)
{
	for (const images::FixedBuffer *buffer : buffers) {
		auto call = [&] {
			batch.add(SYS_io_uring_register, number, IORING_REGISTER_BUFFERS_UPDATE,
				  buffer_blob(batch, *buffer), sizeof(io_uring_rsrc_update2));
		};
		if (is_in_place(*plan_.memory_of(*owner.image), *buffer))
			call();
		else
			TRY(pinned_.at(&owner).with(*buffer, number + 1, batch, call));
	}
	return {};
}

// Another process than the maker has no descriptor yet, unless both have one table.
Result<> RingBuffers::register_own(const NewRing &ring, Member &owner,
				   std::span<const images::FixedBuffer *const> buffers)
{
	SyscallBatch batch;
	if (owner.pid() == ring.maker.pid()) {
		TRY(add_calls(buffers, owner, ring.number, batch));
		return batch.run(ring.maker);
	}
	bool same_table = owner.image->fd_table() == tree_.member(ring.maker.pid()).image->fd_table();
	int number = same_table ? ring.number : kToolNumber + 1;
	if (!same_table) {
		OpenFiles::add_tool(batch, kToolNumber);
		batch.add(SYS_pidfd_getfd, kToolNumber, ring.fd, 0);
	}
	TRY(add_calls(buffers, owner, number, batch));
	if (!same_table)
		batch.add(SYS_close_range, 0, ~0U, 0);
	return batch.run(owner.leader);
}

std::vector<RingBuffers::Clones> RingBuffers::clones_of(const images::Ring &ring) const
{
	std::vector<Clones> all;
	for (const images::FixedBuffer &buffer : ring.buffers()) {
		if (is_origin(ring, buffer))
			continue;
		const uring::BufferSlot &origin = origins_.at(buffer.object());
		if (!all.empty() && all.back().from == origin.ring &&
		    all.back().slot + all.back().count == buffer.slot() &&
		    all.back().first + all.back().count == origin.slot)
			all.back().count++;
		else
			all.push_back({origin.ring, origin.slot, buffer.slot(), 1});
	}
	return all;
}

// A whole table is what v6.12 can clone, too, into a ring that has none yet: what differs is put in its place later.
const images::Ring *RingBuffers::whole_of(const images::Ring &ring, std::span<const Clones> clones)
{
	if (clones.empty())
		return nullptr;
	const images::Ring *from = clones.front().from;
	bool whole = from != &ring && from->buffer_slots() == ring.buffer_slots() &&
		     std::ranges::all_of(clones,
					 [&](const Clones &one) { return one.from == from && one.first == one.slot; });
	return whole ? from : nullptr;
}

// Of a table that was cloned as a whole, what is not there in this ring.
Result<> RingBuffers::clear_slots(const NewRing &ring, const images::Ring &from)
{
	std::set<uint32_t> used;
	for (const images::FixedBuffer &buffer : ring.image.buffers())
		used.insert(buffer.slot());
	SyscallBatch batch;
	images::FixedBuffer none;
	for (const images::FixedBuffer &buffer : from.buffers()) {
		none.set_slot(buffer.slot());
		if (!used.contains(buffer.slot()))
			batch.add(SYS_io_uring_register, ring.number, IORING_REGISTER_BUFFERS_UPDATE,
				  buffer_blob(batch, none), sizeof(io_uring_rsrc_update2));
	}
	return batch.run(ring.maker);
}

// The kernel wants both rings to be charged to one process, and asks the issuer of the other one for itself.
Result<> RingBuffers::clone(const NewRing &ring, const Clones &clones) const
{
	int source = ring.number;
	SyscallBatch batch;
	if (clones.from != &ring.image) {
		source = ring.number + 1;
		batch.add(SYS_pidfd_getfd, kToolNumber, files_.fd(clones.from->file()), 0);
	}
	CloneArguments arguments = {};
	arguments.source = static_cast<uint32_t>(source);
	if (clones.count) {
		arguments.flags = kReplace;
		arguments.source_slot = clones.first;
		arguments.slot = clones.slot;
		arguments.count = clones.count;
	}
	batch.add(SYS_io_uring_register, ring.number, kCloneBuffers, batch.value(arguments), 1);
	if (source != ring.number)
		batch.add(SYS_close, source);
	return batch.run(ring.maker);
}

Result<> RingBuffers::register_all(const NewRing &ring)
{
	if (!ring.image.buffer_slots())
		return {};
	std::vector<Clones> clones = clones_of(ring.image);
	if (const images::Ring *from = whole_of(ring.image, clones)) {
		clones.clear();
		TRY(clone(ring, {.from = from}));
		TRY(clear_slots(ring, *from));
	} else {
		SyscallBatch batch;
		io_uring_rsrc_register table = {};
		table.nr = ring.image.buffer_slots();
		table.flags = kSparse;
		batch.add(SYS_io_uring_register, ring.number, IORING_REGISTER_BUFFERS2, batch.value(table),
			  sizeof(table));
		TRY(batch.run(ring.maker));
	}
	std::map<Member *, std::vector<const images::FixedBuffer *>> own;
	for (const images::FixedBuffer &buffer : ring.image.buffers())
		if (is_origin(ring.image, buffer))
			own[owner_of(ring.image, buffer)].push_back(&buffer);
	for (auto &[owner, buffers] : own)
		TRY(register_own(ring, *owner, buffers));
	for (const Clones &one : clones)
		TRY(clone(ring, one));
	return {};
}

Result<> RingBuffers::finish()
{
	for (auto &[owner, memory] : pinned_)
		TRY(memory.release());
	pinned_.clear();
	return {};
}

} // namespace bpfckpt::restore
