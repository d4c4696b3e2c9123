// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/vma_store.h"

#include <algorithm>

namespace bpfckpt::iterators {

void VmaStore::clear()
{
	drop({});
	known_vmas_.clear();
	known_names_.clear();
	known_auxvs_.clear();
	passes_ = Passes::kNone;
	last_.reset();
}

void VmaStore::drop(const Mark &start)
{
	vmas_->cut(start.vmas);
	names_->cut(start.names);
	auxvs_->cut(start.auxvs);
}

VmaList VmaStore::keep(const Mark &start, mm_record &mm)
{
	if (passes_ == Passes::kNone) {
		passes_ = Passes::kOne;
		return vmas_->records();
	}
	if (passes_ == Passes::kOne)
		look_at_first(start);
	passes_ = Passes::kMore;
	keep_names(start);
	keep_auxv(start.auxvs, mm);
	return keep_vmas(start.vmas);
}

// Each fork(2) gives an address space anon_vmas of its own, and each pass its record of it: nobody asks for more than
// whether there is one.
static void forget_whose(vma_record &vma)
{
	vma.anon_vma = vma.anon_vma != 0;
	vma.space = 0;
}

// All of its records stay, also those that are alike: VMAs have the numbers of their names already.
void VmaStore::look_at_first(const Mark &end)
{
	std::span<vma_record> vmas = vmas_->changeable().first(end.vmas);
	std::ranges::for_each(vmas, forget_whose);
	for (uint32_t i = 0; i < end.vmas; i++)
		known_vmas_.know(i);
	for (uint32_t i = 0; i < end.names; i++)
		known_names_.know(i);
	for (uint32_t i = 0; i < end.auxvs; i++)
		known_auxvs_.know(i);
}

// A pass numbers its names in the order of the VMAs.
void VmaStore::keep_names(const Mark &start)
{
	uint32_t end = start.names;
	for (vma_record &vma : vmas_->changeable().subspan(start.vmas))
		if (vma.name)
			vma.name = known_names_.keep(vma.name - 1, end);
	names_->cut(end);
}

void VmaStore::keep_auxv(uint32_t start, mm_record &mm)
{
	if (!mm.auxv)
		return;
	uint32_t end = start;
	mm.auxv = known_auxvs_.keep(start, end);
	auxvs_->cut(end);
}

VmaList VmaStore::keep_vmas(uint32_t start)
{
	std::span<vma_record> vmas = vmas_->changeable();
	auto numbers = std::make_shared<std::vector<uint32_t>>();
	numbers->reserve(vmas.size() - start);
	uint32_t end = start;
	for (uint32_t i = start; i < vmas.size(); i++) {
		forget_whose(vmas[i]);
		numbers->push_back(known_vmas_.keep(i, end) - 1);
	}
	vmas_->cut(end);
	if (!last_ || *last_ != *numbers)
		last_ = std::move(numbers);
	return {vmas, last_};
}

} // namespace bpfckpt::iterators
