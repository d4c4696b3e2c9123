// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/pinned_memory.h"

#include <algorithm>
#include <set>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/restore/ring_parts.h"
#include "user/target/stub_process.h"

namespace bpfckpt::restore {

using memory::Range;
using target::SyscallBatch;

namespace {

constexpr uint64_t kMove = MREMAP_MAYMOVE | MREMAP_FIXED;

Range pages_of(const images::FixedBuffer &buffer)
{
	return {buffer.address() & ~(kPageSize - 1), memory::page_up(buffer.address() + buffer.length())};
}

Range range_of(const images::PinnedRun &run)
{
	return {run.start(), run.start() + run.length()};
}

std::vector<Range> runs_of(const images::FixedBuffer &buffer)
{
	std::vector<Range> runs;
	for (const images::PinnedRun &run : buffer.elsewhere())
		runs.push_back(range_of(run));
	return runs;
}

std::vector<Range> common(std::span<const Range> ranges, Range with)
{
	return memory::intersect(ranges, std::span(&with, 1));
}

} // namespace

bool is_in_place(const images::Memory &memory, const images::FixedBuffer &buffer)
{
	Range whole = pages_of(buffer);
	auto vma = std::ranges::upper_bound(memory.vmas(), whole.start, {}, &images::Vma::end);
	for (; vma != memory.vmas().end() && vma->start() < whole.end; ++vma)
		if (!(vma->prot() & PROT_WRITE))
			return false;
	return !buffer.elsewhere_size();
}

Result<PinnedMemory> PinnedMemory::create(Member &member, const Plan &plan, const OpenFiles &files,
					  const PageImage &pages, std::span<const images::FixedBuffer *const> buffers)
{
	PinnedMemory result(member, *plan.memory_of(*member.image), files);
	for (const target::RemoteRange &range : TRY(target::mappings_of(member.pid())))
		result.mapped_.push_back({range.address, range.end()});
	TRY(result.park(plan, pages, buffers));
	return result;
}

// The area lies outside of all that is mapped or will be, and of what the buffers cover.
Result<> PinnedMemory::park(const Plan &plan, const PageImage &pages,
			    std::span<const images::FixedBuffer *const> buffers)
{
	std::set<uint64_t> offsets;
	uint64_t largest = 0;
	for (const images::FixedBuffer *buffer : buffers) {
		largest = std::max(largest, pages_of(*buffer).size());
		for (const images::PinnedRun &run : buffer->elsewhere())
			if (run.has_offset())
				for (uint64_t at = 0; at < run.length(); at += kPageSize)
					offsets.insert(run.offset() + at);
	}
	std::vector<target::RemoteRange> occupied = plan.occupied;
	for (const Range &range : mapped_)
		occupied.push_back({range.start, range.size()});
	area_.size = offsets.size() * kPageSize + largest;
	area_.address = TRY(target::find_hole(occupied, area_.size));
	room_ = area_.address + offsets.size() * kPageSize;
	if (offsets.empty())
		return {};
	SyscallBatch batch;
	uint64_t size = offsets.size() * kPageSize;
	batch.add(SYS_mmap, area_.address, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	batch.add_optional(SYS_madvise, area_.address, size, MADV_NOHUGEPAGE);
	TRY(batch.run(member_->leader));
	std::vector<images::PageRun> runs;
	std::vector<const images::PageRun *> pointers;
	uint64_t at = area_.address;
	for (uint64_t offset : offsets) {
		images::PageRun &run = runs.emplace_back();
		run.set_start(at);
		run.set_length(kPageSize);
		run.set_offset(offset);
		parked_[offset] = at;
		at += kPageSize;
	}
	pointers.reserve(runs.size());
	for (const images::PageRun &run : runs)
		pointers.push_back(&run);
	return pages.fill(member_->leader, pointers);
}

void PinnedMemory::add(const Step &step, SyscallBatch &batch)
{
	batch.add(step.nr, step.args[0], step.args[1], step.args[2], step.args[3], step.args[4], step.args[5]);
}

// `moved`: what lay where, and where it is now.
void PinnedMemory::put_aside(const images::FixedBuffer &buffer, Steps &steps,
			     std::vector<std::pair<Range, uint64_t>> &moved) const
{
	uint64_t shift = room_ - pages_of(buffer).start;
	for (const Range &part : memory::intersect(mapped_, runs_of(buffer))) {
		uint64_t to = part.start + shift, size = part.size();
		steps.add({SYS_mremap, {part.start, size, size, kMove, to}},
			  {SYS_mremap, {to, size, size, kMove, part.start}});
		moved.emplace_back(part, to);
	}
}

// The kernel pins pages for writing. `at`: where what belongs to `range` is for the moment.
void PinnedMemory::make_writable(Range range, uint64_t at, Steps &steps) const
{
	auto vma = std::ranges::upper_bound(memory_->vmas(), range.start, {}, &images::Vma::end);
	for (; vma != memory_->vmas().end() && vma->start() < range.end; ++vma) {
		if (vma->prot() & PROT_WRITE)
			continue;
		Range part = {std::max(range.start, vma->start()), std::min(range.end, vma->end())};
		uint64_t start = at + part.start - range.start, prot = vma->prot();
		steps.add({SYS_mprotect, {start, part.size(), prot | PROT_READ | PROT_WRITE}},
			  {SYS_mprotect, {start, part.size(), prot}});
	}
}

Result<> PinnedMemory::bring(const images::PinnedRun &run, int number,
			     std::span<const std::pair<Range, uint64_t>> moved, Steps &steps) const
{
	Range whole = range_of(run);
	if (run.has_offset()) {
		// Consecutive there, too: they were put there in the order of their offsets.
		uint64_t from = parked_.at(run.offset()), size = whole.size();
		steps.add({SYS_mremap, {from, size, size, kMove, whole.start}},
			  {SYS_mremap, {whole.start, size, size, kMove, from}});
		return {};
	}
	if (run.shared_memory()) {
		int source = files_->object_fd(run.shared_memory());
		if (source < 0)
			return make_error(Code::kInternal, "memory object {} is not open", run.shared_memory())
				.on(name_of(*member_->image));
		auto fd = static_cast<uint64_t>(number);
		steps.before.push_back({SYS_pidfd_getfd, {kToolNumber, static_cast<uint64_t>(source), 0}});
		steps.add({SYS_mmap,
			   {whole.start, whole.size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    run.object_offset()}},
			  {SYS_munmap, {whole.start, whole.size()}});
		steps.before.push_back({SYS_close, {fd}});
		return {};
	}
	// Where the program has moved it, unless that has just been put aside.
	Range now = {run.moved_to(), run.moved_to() + run.length()};
	std::vector<Range> aside;
	for (const auto &[range, at] : moved)
		aside.push_back(range);
	auto take = [&](const Range &part, uint64_t from) {
		uint64_t to = run.start() + part.start - now.start, size = part.size();
		steps.add({SYS_mremap, {from, size, size, kMove, to}}, {SYS_mremap, {to, size, size, kMove, from}});
		make_writable(part, to, steps);
	};
	for (const Range &part : memory::subtract(common(mapped_, now), aside))
		take(part, part.start);
	for (const auto &[range, at] : moved)
		for (const Range &part : common({&range, 1}, now))
			take(part, at + part.start - range.start);
	return {};
}

Result<PinnedMemory::Steps> PinnedMemory::steps_for(const images::FixedBuffer &buffer, int number) const
{
	Steps steps;
	std::vector<std::pair<Range, uint64_t>> moved;
	put_aside(buffer, steps, moved);
	for (const images::PinnedRun &run : buffer.elsewhere())
		TRY(bring(run, number, moved, steps));
	Range whole = pages_of(buffer);
	for (const Range &part : memory::subtract({&whole, 1}, runs_of(buffer)))
		make_writable(part, part.start, steps);
	return steps;
}

Result<> PinnedMemory::release()
{
	if (parked_.empty())
		return {};
	SyscallBatch batch;
	batch.add(SYS_munmap, area_.address, area_.size);
	return batch.run(member_->leader);
}

} // namespace bpfckpt::restore
