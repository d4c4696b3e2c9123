// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/restorable_buffers.h"

#include <algorithm>
#include <map>

#include <fcntl.h>
#include <sys/mman.h>

#include "user/uring/clones.h"

namespace bpfckpt::uring {

namespace {

constexpr uint32_t kSealsOfWriting = F_SEAL_WRITE | 0x10; // and F_SEAL_FUTURE_WRITE

// Pages that only buffers have, by their place in the page image. Restore makes them once for each process.
struct CutOff {
	uint64_t start;
	uint64_t end;
	const images::Process *owner; // nullptr: memory that is mapped
	const images::Ring *ring;     // one that has them
	uint32_t slot;
};

class BufferCheck {
public:
	BufferCheck(const images::Document &document, const RingHolders &holders)
		: document_(document), holders_(holders), origins_(clone_origins(document))
	{
	}
	Findings run();

private:
	void check_buffers(const images::Ring &ring);
	void check_memory(const images::Ring &ring, const images::FixedBuffer &buffer);
	void check_clone(const images::Ring &ring, const images::FixedBuffer &buffer);
	void check_sharing();
	[[nodiscard]] std::vector<CutOff> cut_off_pages() const;
	[[nodiscard]] const images::Process *owner_of(const images::Ring &ring,
						      const images::FixedBuffer &buffer) const;
	[[nodiscard]] bool can_map(uint32_t shared_memory) const;
	void refuse(std::string object, std::string message, std::string hint)
	{
		findings_.push_back(
			Error(Code::kUnsupported, std::move(message)).on(std::move(object)).with_hint(std::move(hint)));
	}
	static std::string name_of(const images::Ring &ring) { return fmt::format("ring {}", ring.id()); }

	const images::Document &document_;
	const RingHolders &holders_;
	std::unordered_map<uint32_t, BufferSlot> origins_; // by FixedBuffer.object
	Findings findings_;
};

// Shared memory of which a mapping to write can be made.
bool BufferCheck::can_map(uint32_t shared_memory) const
{
	for (const images::Memory &memory : document_.memory())
		for (const images::Vma &vma : memory.vmas())
			if (vma.shared_memory() == shared_memory && vma.kind() == images::Vma::ANON_SHARED)
				return true;
	return std::ranges::any_of(document_.files(), [&](const images::File &file) {
		return file.has_memfd() && file.memfd().shared_memory() == shared_memory &&
		       (file.flags() & O_ACCMODE) == O_RDWR && !(file.memfd().seals() & kSealsOfWriting);
	});
}

// The parts of a mapping that restore moves for a moment, or makes writable.
std::vector<std::pair<uint64_t, uint64_t>> touched_by(const images::FixedBuffer &buffer)
{
	std::vector<std::pair<uint64_t, uint64_t>> parts = {{buffer.address(), buffer.address() + buffer.length()}};
	for (const images::PinnedRun &run : buffer.elsewhere())
		if (run.moved_to())
			parts.emplace_back(run.moved_to(), run.moved_to() + run.length());
	return parts;
}

bool has_flag(const images::Vma &vma, const char *flag)
{
	return std::ranges::find(vma.advice(), flag) != vma.advice().end();
}

// Whether pages of the buffer are those that the program sees there.
bool has_pages_of(const images::FixedBuffer &buffer, const images::Vma &vma)
{
	uint64_t at = std::max(buffer.address() & ~uint64_t{4095}, vma.start());
	uint64_t end = std::min(buffer.address() + buffer.length(), vma.end());
	for (const images::PinnedRun &run : buffer.elsewhere())
		if (run.start() <= at && at < run.start() + run.length())
			at = run.start() + run.length();
	return at < end;
}

void BufferCheck::check_memory(const images::Ring &ring, const images::FixedBuffer &buffer)
{
	for (const images::PinnedRun &run : buffer.elsewhere())
		if (run.shared_memory() && !can_map(run.shared_memory()))
			refuse(name_of(ring),
			       fmt::format(
				       "buffer {} has pages of shared memory that can no longer be mapped for writing",
				       buffer.slot()),
			       "unregister buffers before unmapping or sealing their memory");
	if (is_of_unknown(buffer))
		return;
	const images::Process *owner = owner_of(ring, buffer);
	const images::Memory *memory = owner ? holders_.memory_of(*owner) : nullptr;
	if (!memory || (buffer.address_space() && owner->address_space() != buffer.address_space()))
		return refuse(name_of(ring),
			      fmt::format("buffer {} is memory of no process of the tree", buffer.slot()),
			      "dump the tree that has registered it");
	for (auto [start, end] : touched_by(buffer)) {
		auto vma = std::ranges::upper_bound(memory->vmas(), start, {}, &images::Vma::end);
		for (; vma != memory->vmas().end() && vma->start() < end; ++vma) {
			if (vma->kind() == images::Vma::RING && has_pages_of(buffer, *vma))
				return refuse(name_of(ring),
					      fmt::format("buffer {} lies in a mapping of a ring", buffer.slot()),
					      "register memory of the program");
			if ((buffer.pages_differ() || !(vma->prot() & PROT_WRITE)) &&
			    (has_flag(*vma, "sl") || (vma->shared() && !vma->may_write())))
				return refuse(
					name_of(ring),
					fmt::format("buffer {} lies in memory that can no longer be moved or written "
						    "to (mseal, a descriptor for reading)",
						    buffer.slot()),
					"unregister buffers before sealing their memory");
		}
	}
}

const images::Process *BufferCheck::owner_of(const images::Ring &ring, const images::FixedBuffer &buffer) const
{
	return holders_.owner_of(buffer, holders_.maker_of(ring).process);
}

std::vector<CutOff> BufferCheck::cut_off_pages() const
{
	std::vector<CutOff> pages;
	for (const images::Ring &ring : document_.rings())
		for (const images::FixedBuffer &buffer : ring.buffers()) {
			if (std::ranges::none_of(buffer.elsewhere(), &images::PinnedRun::has_offset))
				continue;
			const images::Process *owner = owner_of(ring, buffer);
			for (const images::PinnedRun &run : buffer.elsewhere())
				if (run.has_offset())
					pages.push_back({run.offset(), run.offset() + run.length(), owner, &ring,
							 buffer.slot()});
		}
	if (pages.empty())
		return pages;
	for (const images::SharedMemory &object : document_.shared_memory())
		for (const images::PageRun &run : object.pages())
			pages.push_back({run.offset(), run.offset() + run.length(), nullptr, nullptr, 0});
	return pages;
}

// What has been shared memory stays one only within a process.
void BufferCheck::check_sharing()
{
	std::vector<CutOff> pages = cut_off_pages();
	std::ranges::sort(pages, {}, &CutOff::start);
	std::map<const images::Process *, const CutOff *> last; // that which ends last, of each owner
	for (const CutOff &one : pages) {
		for (const auto &[owner, other] : last)
			if (owner != one.owner && other->end > one.start) {
				const CutOff &buffer = one.ring ? one : *other;
				refuse(name_of(*buffer.ring),
				       fmt::format("buffer {} has pages that are mapped nowhere and that {} has, too",
						   buffer.slot,
						   owner && one.owner ? "a buffer of another process" : "other memory"),
				       "unregister buffers before unmapping memory that is shared");
			}
		const CutOff *&mine = last[one.owner];
		if (!mine || mine->end < one.end)
			mine = &one;
	}
}

// Both rings have to be charged to one process, and only its issuer can have a ring cloned from.
void BufferCheck::check_clone(const images::Ring &ring, const images::FixedBuffer &buffer)
{
	auto origin = origins_.find(buffer.object());
	if (origin == origins_.end() || origin->second.ring == &ring)
		return;
	Maker maker = holders_.maker_of(ring), other = holders_.maker_of(*origin->second.ring);
	if (maker.process != other.process)
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, which another process has set up", buffer.slot(),
				   origin->second.ring->id()),
		       "clone buffers between rings of one process");
	else if (origin->second.ring->submitter_tid() && maker.thread != other.thread)
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, of which another thread is the issuer",
				   buffer.slot(), origin->second.ring->id()),
		       "clone buffers between rings of one thread");
	// Whoever has set up a ring pays for its buffers, and only those of one user are cloned (io_uring/rsrc.c:
	// io_clone_buffers()); a ring with an SQ thread is set up with the credentials of that thread.
	if (ring.has_sq_thread() != origin->second.ring->has_sq_thread())
		refuse(name_of(ring),
		       fmt::format("buffer {} is shared with ring {}, and only one of them has a submission thread",
				   buffer.slot(), origin->second.ring->id()),
		       "clone buffers between rings of one kind");
	if (buffer.tag())
		refuse(name_of(ring), fmt::format("buffer {} is a clone with a tag", buffer.slot()), "report it");
}

// Which process's memory they are is not kept by the kernel: only addresses and pages are.
void BufferCheck::check_buffers(const images::Ring &ring)
{
	for (const images::FixedBuffer &buffer : ring.buffers()) {
		check_memory(ring, buffer);
		check_clone(ring, buffer);
	}
	if (std::ranges::none_of(ring.buffers(), is_of_unknown))
		return;
	const images::Process *issuer = ring.submitter_tid() ? holders_.maker_of(ring).process : nullptr;
	if (issuer && !holders_.has_buffers_of(*issuer, ring))
		return refuse(name_of(ring), "its buffers are not in memory of the thread that submits to it",
			      "register buffers in the process that uses the ring");
	size_t fitting = 0;
	for (const images::Process *process : holders_.of(ring))
		fitting += holders_.has_buffers_of(*process, ring);
	if (!fitting)
		refuse(name_of(ring), "its buffers are no longer in memory that can be written to",
		       "unregister buffers before unmapping or protecting their memory");
	else if (fitting > 1 && !ring.submitter_tid())
		refuse(name_of(ring), fmt::format("its buffers could be those of any of {} processes", fitting),
		       "close the ring in the processes that do not use it");
}

Findings BufferCheck::run()
{
	for (const images::Ring &ring : document_.rings())
		check_buffers(ring);
	check_sharing();
	return std::move(findings_);
}

} // namespace

Findings check_buffers(const images::Document &document, const RingHolders &holders)
{
	return BufferCheck(document, holders).run();
}

} // namespace bpfckpt::uring
