/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// VmaStore: what the passes over many processes have told, each thing once. After every pass the records that are there
// already are taken out of the maps again, so these need room for what processes differ in only.
//
// Of a tree of one process nothing is looked at.
#pragma once

#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "iterators/record_map.h"
#include "iterators/vma_list.h"
#include "iterators/vma_record.h"

namespace bpfckpt::iterators {

class VmaStore {
public:
	// The maps must stay where they are.
	VmaStore(RecordMap<vma_record> &vmas, RecordMap<vma_name_record> &names, RecordMap<mm_auxv_record> &auxvs)
		: vmas_(&vmas), names_(&names), auxvs_(&auxvs), known_(0, HashOf{&vmas}, SameAs{&vmas})
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
	struct HashOf {
		const RecordMap<vma_record> *vmas;
		size_t operator()(uint32_t number) const;
	};
	struct SameAs {
		const RecordMap<vma_record> *vmas;
		bool operator()(uint32_t one, uint32_t other) const;
	};
	void look_at_first(const Mark &end);
	void keep_names(const Mark &start);
	void keep_auxv(uint32_t start, mm_record &mm);
	VmaList keep_vmas(uint32_t start);

	RecordMap<vma_record> *vmas_;
	RecordMap<vma_name_record> *names_;
	RecordMap<mm_auxv_record> *auxvs_;
	std::unordered_set<uint32_t, HashOf, SameAs> known_;         // numbers of records
	std::unordered_map<std::string_view, uint32_t> known_names_; // numbers from 1
	std::unordered_map<std::string_view, uint32_t> known_auxvs_;
	enum class Passes { kNone, kOne, kMore };
	Passes passes_ = Passes::kNone;
	VmaList::Numbers last_; // of the list told last
};

} // namespace bpfckpt::iterators
