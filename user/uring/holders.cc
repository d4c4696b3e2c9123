// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/uring/holders.h"

#include <algorithm>

#include <sys/mman.h>

namespace bpfckpt::uring {

RingHolders::RingHolders(const images::Document &document)
{
	std::unordered_map<uint32_t, uint32_t> ring_of_file;
	for (const images::Ring &ring : document.rings())
		ring_of_file.emplace(ring.file(), ring.id());
	for (const images::Memory &memory : document.memory())
		memories_.emplace(memory.id(), &memory);
	for (const images::Process &process : document.processes()) {
		if (process.address_space())
			processes_.try_emplace(process.address_space(), &process);
		if (process.threads_size())
			leaders_.emplace(process.pid(), Maker{&process, &process.threads(0)});
		for (const images::Thread &thread : process.threads()) {
			if (thread.role() == images::Thread::USER)
				threads_.emplace(thread.tid(), Maker{&process, &thread});
			else
				kernel_threads_.emplace(thread.tid(), &process);
			for (const images::RegisteredRing &ring : thread.registered_rings())
				add(ring.ring(), process);
		}
		if (!ring_of_file.empty())
			for (const images::FdEntry &entry : process.files())
				if (auto ring = ring_of_file.find(entry.file()); ring != ring_of_file.end())
					add(ring->second, process);
		if (const images::Memory *memory = memory_of(process); memory && !ring_of_file.empty())
			for (const images::Vma &vma : memory->vmas())
				if (vma.kind() == images::Vma::RING)
					add(vma.ring(), process);
	}
	for (const images::Ring &ring : document.rings())
		makers_.emplace(&ring, find_maker(ring));
}

void RingHolders::add(uint32_t ring, const images::Process &process)
{
	auto &list = holders_[ring];
	if (list.empty() || list.back() != &process)
		list.push_back(&process);
}

const images::Memory *RingHolders::memory_of(const images::Process &process) const
{
	auto it = memories_.find(process.address_space());
	return it == memories_.end() ? nullptr : it->second;
}

const std::vector<const images::Process *> &RingHolders::of(const images::Ring &ring) const
{
	static const std::vector<const images::Process *> kNone;
	auto it = holders_.find(ring.id());
	return it == holders_.end() ? kNone : it->second;
}

// The kernel pins pages for writing.
static bool is_writable(const images::Memory &memory, uint64_t start, uint64_t end)
{
	auto vma = std::ranges::upper_bound(memory.vmas(), start, {}, &images::Vma::end);
	for (; vma != memory.vmas().end() && vma->start() <= start && vma->prot() & PROT_WRITE; ++vma) {
		start = vma->end();
		if (start >= end)
			return true;
	}
	return false;
}

bool RingHolders::is_writable_in(const images::Process &process, uint64_t address, uint64_t length) const
{
	const images::Memory *memory = memory_of(process);
	return memory && is_writable(*memory, address, address + length);
}

bool is_of_unknown(const images::FixedBuffer &buffer)
{
	return !buffer.address_space() && !buffer.pages_differ();
}

bool RingHolders::has_buffers_of(const images::Process &process, const images::Ring &ring) const
{
	const images::Memory *memory = memory_of(process);
	return memory && std::ranges::all_of(ring.buffers(), [&](const images::FixedBuffer &buffer) {
		       return !is_of_unknown(buffer) ||
			      is_writable(*memory, buffer.address(), buffer.address() + buffer.length());
	       });
}

const images::Process *RingHolders::owner_of(const images::FixedBuffer &buffer, const images::Process *maker) const
{
	if (!buffer.address_space() || (maker && maker->address_space() == buffer.address_space()))
		return maker;
	auto it = processes_.find(buffer.address_space());
	return it == processes_.end() ? maker : it->second;
}

Maker RingHolders::thread_of(uint32_t tid) const
{
	auto it = threads_.find(tid);
	return it == threads_.end() ? Maker{} : it->second;
}

Maker RingHolders::leader_of(uint32_t pid) const
{
	auto it = leaders_.find(pid);
	return it == leaders_.end() ? Maker{} : it->second;
}

// Memory that the ring has taken from its program is of one process, and so is its SQ thread.
bool RingHolders::is_of(const images::Process &process, const images::Ring &ring) const
{
	if (ring.address_space() && ring.address_space() != process.address_space())
		return false;
	if (!ring.has_sq_thread())
		return true;
	auto it = kernel_threads_.find(ring.sq_thread().tid());
	return it != kernel_threads_.end() && it->second == &process;
}

Maker RingHolders::maker_of(const images::Ring &ring) const
{
	auto it = makers_.find(&ring);
	return it == makers_.end() ? find_maker(ring) : it->second;
}

Maker RingHolders::find_maker(const images::Ring &ring) const
{
	if (ring.submitter_tid())
		return thread_of(ring.submitter_tid());
	std::vector<Maker> candidates;
	for (const images::TaskContext &task : ring.tasks())
		if (auto it = threads_.find(task.tid()); it != threads_.end())
			candidates.push_back(it->second);
	for (const images::Process *process : of(ring))
		if (auto user = std::ranges::find(process->threads(), images::Thread::USER, &images::Thread::role);
		    user != process->threads().end())
			candidates.push_back({process, &*user});
	std::erase_if(candidates, [&](const Maker &maker) {
		return !is_of(*maker.process, ring) || !has_buffers_of(*maker.process, ring);
	});
	// One that has its buffers, if there is one.
	auto has_memory = [&](const Maker &maker) {
		return !ring.buffers_size() || ring.buffers(0).address_space() == maker.process->address_space();
	};
	auto fit = std::ranges::find_if(candidates, has_memory);
	if (fit == candidates.end())
		fit = candidates.begin();
	return fit == candidates.end() ? Maker{} : *fit;
}

} // namespace bpfckpt::uring
