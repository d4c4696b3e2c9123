// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/vma_store.h"

#include "iterators/record_text.h"

namespace bpfckpt::iterators {

template <class Record>
static std::string_view bytes_of(const Record &record)
{
	return {reinterpret_cast<const char *>(&record), sizeof(record)};
}

size_t VmaStore::HashOf::operator()(uint32_t number) const
{
	return std::hash<std::string_view>()(bytes_of(vmas->records()[number]));
}

bool VmaStore::SameAs::operator()(uint32_t one, uint32_t other) const
{
	std::span<const vma_record> records = vmas->records();
	return bytes_of(records[one]) == bytes_of(records[other]);
}

void VmaStore::clear()
{
	drop({});
	known_.clear();
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

// All of its records stay.
void VmaStore::look_at_first(const Mark &end)
{
	std::span<vma_record> vmas = vmas_->changeable().first(end.vmas);
	for (uint32_t i = 0; i < vmas.size(); i++) {
		forget_whose(vmas[i]);
		known_.insert(i);
	}
	for (uint32_t i = 0; i < end.names; i++)
		known_names_.emplace(text_of(names_->records()[i].name), i + 1);
	for (uint32_t i = 0; i < end.auxvs; i++)
		known_auxvs_.emplace(bytes_of(auxvs_->records()[i]), i + 1);
}

// A pass numbers its names in the order of the VMAs.
void VmaStore::keep_names(const Mark &start)
{
	std::span<vma_name_record> names = names_->changeable();
	uint32_t end = start.names;
	for (vma_record &vma : vmas_->changeable().subspan(start.vmas)) {
		if (!vma.name)
			continue;
		names[end] = names[vma.name - 1];
		auto [known, fresh] = known_names_.emplace(text_of(names[end].name), end + 1);
		end += fresh;
		vma.name = known->second;
	}
	names_->cut(end);
}

void VmaStore::keep_auxv(uint32_t start, mm_record &mm)
{
	if (!mm.auxv)
		return;
	auto [known, fresh] = known_auxvs_.emplace(bytes_of(auxvs_->records()[start]), start + 1);
	mm.auxv = known->second;
	auxvs_->cut(start + fresh);
}

VmaList VmaStore::keep_vmas(uint32_t start)
{
	std::span<vma_record> vmas = vmas_->changeable();
	auto numbers = std::make_shared<std::vector<uint32_t>>();
	numbers->reserve(vmas.size() - start);
	uint32_t end = start;
	for (size_t i = start; i < vmas.size(); i++) {
		vmas[end] = vmas[i];
		forget_whose(vmas[end]);
		auto [known, fresh] = known_.insert(end);
		end += fresh;
		numbers->push_back(*known);
	}
	vmas_->cut(end);
	if (!last_ || *last_ != *numbers)
		last_ = std::move(numbers);
	return {vmas, last_};
}

} // namespace bpfckpt::iterators
