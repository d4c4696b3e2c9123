/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PinnedMemory: the memory of one process as a ring's buffers have it, which need not be what the program sees at their
// addresses any more (images/uring.proto: PinnedRun).
//
// A registration pins what is mapped at that moment. So for the moment of one registration what lies there is moved
// aside (mremap(2) keeps the pages, and merges mappings again on the way back), and the pages wanted are moved to their
// place: from where the program has moved them, from the file that they belong to, or, if only buffers have them, from
// a place of ours, where each of them is once, however many buffers have it.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "user/restore/file.h"

namespace bpfckpt::restore {

// Whether a buffer can be registered as the memory of the process is.
[[nodiscard]] bool is_in_place(const images::Memory &memory, const images::FixedBuffer &buffer);

class PinnedMemory {
public:
	// `buffers`: all of this process that are not in place.
	static Result<PinnedMemory> create(Member &member, const Plan &plan, const OpenFiles &files,
					   const PageImage &pages, std::span<const images::FixedBuffer *const> buffers);

	// Adds to `batch` what brings about, and then undoes, the memory of `buffer`; between them `call` adds the
	// registration. `number`: the first free descriptor of the process, whose bpfckpt is kToolNumber.
	template <class Call>
	Result<> with(const images::FixedBuffer &buffer, int number, target::SyscallBatch &batch, Call call)
	{
		Steps steps = TRY(steps_for(buffer, number));
		for (const Step &step : steps.before)
			add(step, batch);
		call();
		for (const Step &step : steps.after)
			add(step, batch);
		return {};
	}
	// When all are registered: only the rings have these pages now.
	Result<> release();

private:
	struct Step {
		long nr;
		uint64_t args[6];
	};
	struct Steps {
		std::vector<Step> before;
		std::vector<Step> after; // in the order in which they are run
		void add(const Step &step, const Step &undo)
		{
			before.push_back(step);
			after.insert(after.begin(), undo);
		}
	};

	PinnedMemory(Member &member, const images::Memory &memory, const OpenFiles &files)
		: member_(&member), memory_(&memory), files_(&files)
	{
	}
	Result<> park(const Plan &plan, const PageImage &pages, std::span<const images::FixedBuffer *const> buffers);
	Result<Steps> steps_for(const images::FixedBuffer &buffer, int number) const;
	void put_aside(const images::FixedBuffer &buffer, Steps &steps,
		       std::vector<std::pair<memory::Range, uint64_t>> &moved) const;
	Result<> bring(const images::PinnedRun &run, int number,
		       std::span<const std::pair<memory::Range, uint64_t>> moved, Steps &steps) const;
	void make_writable(memory::Range range, uint64_t at, Steps &steps) const;
	static void add(const Step &step, target::SyscallBatch &batch);

	Member *member_;
	const images::Memory *memory_;
	const OpenFiles *files_;
	std::vector<memory::Range> mapped_;             // before anything was moved
	target::RemoteRange area_ = {};                 // of ours: pages that only buffers have, and room to put aside
	uint64_t room_ = 0;                             // within it
	std::unordered_map<uint64_t, uint64_t> parked_; // offset in pages.img -> address
};

} // namespace bpfckpt::restore
