/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// VmaStore: what the passes over many processes have told, each thing once. After every pass the records that are there
// already are taken out of the maps again, so these need room for what processes differ in only.
//
// Of a tree of one process nothing is looked at.
#pragma once

#include "iterators/distinct.h"
#include "iterators/record_text.h"
#include "iterators/vma_list.h"
#include "iterators/vma_record.h"

namespace bpfckpt::iterators {

// What is behind a name's NUL is of another that was there before.
inline std::string_view what_counts(const vma_name_record &record)
{
	return text_of(record.name);
}

class VmaStore {
public:
	// The maps must stay where they are.
	VmaStore(RecordMap<vma_record> &vmas, RecordMap<vma_name_record> &names, RecordMap<mm_auxv_record> &auxvs)
		: vmas_(&vmas),
		  names_(&names),
		  auxvs_(&auxvs),
		  known_vmas_(vmas),
		  known_names_(names),
		  known_auxvs_(auxvs)
	{
	}
	// Before the first pass of a round.
	void clear();
	// The numbers of records that there are.
	struct Mark {
		uint32_t vmas = 0;
		uint32_t names = 0;
		uint32_t auxvs = 0;
	};
	[[nodiscard]] Mark mark() const { return {vmas_->needed(), names_->needed(), auxvs_->needed()}; }
	// The VMAs of the pass that began at `start`, which found room for all, and told of `mm`.
	VmaList keep(const Mark &start, mm_record &mm);
	// Takes out all of them.
	void drop(const Mark &start);

private:
	void look_at_first(const Mark &end);
	void keep_names(const Mark &start);
	void keep_auxv(uint32_t start, mm_record &mm);
	VmaList keep_vmas(uint32_t start);

	RecordMap<vma_record> *vmas_;
	RecordMap<vma_name_record> *names_;
	RecordMap<mm_auxv_record> *auxvs_;
	Distinct<vma_record> known_vmas_;
	Distinct<vma_name_record> known_names_;
	Distinct<mm_auxv_record> known_auxvs_;
	enum class Passes { kNone, kOne, kMore };
	Passes passes_ = Passes::kNone;
	VmaList::Numbers last_; // of the list told last
};

} // namespace bpfckpt::iterators
