// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/memory_fork.h"

#include <algorithm>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/restore/memory.h"
#include "user/target/batch.h"

namespace bpfckpt::restore {

using memory::Range;
using target::SyscallBatch;

static bool has_flag(const images::Vma &vma, std::string_view flag)
{
	return std::ranges::find(vma.advice(), flag) != vma.advice().end();
}

static bool is_private(const images::Vma &vma)
{
	return !vma.shared() && (vma.kind() == images::Vma::ANONYMOUS || vma.kind() == images::Vma::STACK ||
				 vma.kind() == images::Vma::HEAP || vma.kind() == images::Vma::FILE_PRIVATE);
}

// What one of them maps can be a piece of the other's mapping. A stack grows down and is taken as a whole.
static bool is_same_mapping(const images::Vma &one, const images::Vma &other)
{
	if (!is_private(one) || !is_private(other) || one.file() != other.file())
		return false;
	if (one.file() && one.offset() - one.start() != other.offset() - other.start())
		return false;
	bool grows = has_flag(one, "gd");
	return grows == has_flag(other, "gd") && has_flag(one, "nr") == has_flag(other, "nr") &&
	       (!grows || (one.start() == other.start() && one.end() == other.end()));
}

static Range range_of(const images::Vma &vma)
{
	return {vma.start(), vma.end()};
}

static Range range_of(const images::PageRun &run)
{
	return {run.start(), run.start() + run.length()};
}

// Calls `found(one, other, range)` for every overlap of two lists that are sorted by address.
template <class List, class Found>
static void each_overlap(const List &left, const List &right, Found &&found)
{
	auto one = left.begin();
	auto other = right.begin();
	while (one != left.end() && other != right.end()) {
		Range a = range_of(*one);
		Range b = range_of(*other);
		Range common = {std::max(a.start, b.start), std::min(a.end, b.end)};
		if (!common.empty())
			found(*one, *other, common);
		if (a.end < b.end)
			++one;
		else
			++other;
	}
}

std::vector<ForkedPart> forked_parts(const images::Memory &creator, const images::Memory &child)
{
	std::vector<Range> shared;
	each_overlap(creator.pages(), child.pages(),
		     [&](const images::PageRun &one, const images::PageRun &other, Range range) {
			     if (one.offset() - one.start() == other.offset() - other.start())
				     memory::append(shared, range);
		     });
	std::vector<ForkedPart> parts;
	if (shared.empty())
		return parts;
	each_overlap(creator.vmas(), child.vmas(), [&](const images::Vma &one, const images::Vma &other, Range range) {
		if (!is_same_mapping(one, other))
			return;
		std::vector<Range> pages = memory::intersect(std::span(&range, 1), shared);
		if (!pages.empty())
			parts.push_back({range, &one, &other, std::move(pages)});
	});
	return parts;
}

std::vector<ForkedPart> MemoryForks::parts_of(const images::Process *creator, const images::Process *child) const
{
	const images::Memory *creators = creator ? plan_.memory_of(*creator) : nullptr;
	const images::Memory *childs = child ? plan_.memory_of(*child) : nullptr;
	return creators && childs && creators != childs ? forked_parts(*creators, *childs) : std::vector<ForkedPart>();
}

Result<> MemoryForks::before_fork(Member &creator, const images::Process &child)
{
	std::vector<const images::Vma *> vmas;
	std::vector<Range> pages;
	for (const ForkedPart &part : parts_of(creator.image, &child)) {
		if (vmas.empty() || vmas.back() != part.creators)
			vmas.push_back(part.creators);
		pages.insert(pages.end(), part.pages.begin(), part.pages.end());
	}
	if (vmas.empty())
		return {};
	return restore_memory_early(creator, *plan_.memory_of(*creator.image), vmas, pages, files_, pages_);
}

Result<> MemoryForks::after_fork(const Member &creator, Member &child)
{
	if (creator.mapped.empty())
		return {};
	std::vector<Range> mapped;
	for (const MappedPart &part : creator.mapped)
		memory::append(mapped, part.range);
	std::vector<Range> kept;
	std::vector<Range> shared;
	for (const ForkedPart &part : parts_of(creator.image, child.image)) {
		child.mapped.push_back({part.range, part.childs});
		memory::append(kept, part.range);
		for (const Range &range : part.pages)
			memory::append(shared, range);
	}
	child.filled = memory::intersect(creator.filled, shared);
	SyscallBatch batch;
	for (const Range &range : memory::subtract(mapped, kept))
		batch.add(SYS_munmap, range.start, range.size());
	for (const Range &range : memory::subtract(memory::intersect(creator.filled, kept), child.filled))
		batch.add(SYS_madvise, range.start, range.size(), MADV_DONTNEED);
	return batch.run(child.leader);
}

} // namespace bpfckpt::restore
