// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/plan.h"

#include <map>

namespace bpfckpt::restore {

static std::string step_text(const TreeStep &step)
{
	if (step.pid < 0)
		return step.kind == TreeStep::kFork
			       ? fmt::format("pid {} creates a helper for a parent that is gone", step.other)
			       : fmt::format("the helper of pid {} ends", step.other);
	if (step.other < 0)
		return fmt::format("that helper creates pid {}", step.pid);
	switch (step.kind) {
	case TreeStep::kFork:
		return fmt::format("pid {} creates pid {}{}{}", step.other, step.pid,
				   step.helper ? ", a helper for a leader that is gone" : "",
				   step.flags ? ", which shares its tables" : "");
	case TreeStep::kSetsid:
		return fmt::format("pid {} leads session {}", step.pid, step.pid);
	case TreeStep::kSetpgid:
		return fmt::format("pid {} enters process group {}", step.pid, step.other);
	case TreeStep::kReaperOn:
		return fmt::format("pid {} takes in the children of {}", step.pid, step.other);
	case TreeStep::kExit:
		return fmt::format("the helper {} ends, pid {} reaps it", step.pid, step.other);
	}
	return {};
}

static std::string process_text(const Plan &plan, const images::Process &process)
{
	if (process.state() == images::Process::ZOMBIE)
		return fmt::format("{}: a zombie with status {:#x}\n", name_of(process), process.exit_status());
	const images::Memory *memory = plan.memory_of(process);
	uint64_t bytes = 0;
	for (const images::PageRun &run : memory->pages())
		bytes += run.length();
	return fmt::format("{}: {} threads, {} mappings, {} KiB of pages, {} descriptors, {} timers\n",
			   name_of(process), process.threads_size(), memory->vmas_size(), bytes >> 10,
			   process.files_size(), process.timers_size());
}

static std::string ring_text(const RingStep &step)
{
	const images::Ring &ring = *step.ring;
	return fmt::format("ring {}: {} and {} entries, set up by thread {} of {}, {} fixed files, {} buffers, {} "
			   "personalities, {} requests that do nothing\n",
			   ring.id(), ring.sq_entries(), ring.cq_entries(), step.maker.thread->tid(),
			   name_of(*step.maker.process), ring.fixed_files_size(), ring.buffers_size(),
			   ring.personalities_size(), step.counters.count());
}

std::string plan_text(const Plan &plan)
{
	std::string text =
		fmt::format("bpfckpt creates pid {}{}\n", plan.root, plan.outer_session ? " in its own session" : "");
	for (const TreeStep &step : plan.tree)
		text += step_text(step) + "\n";
	std::map<std::string, unsigned> kinds;
	for (const images::File &file : plan.document->files())
		kinds[file.kind()]++;
	for (const auto &[kind, count] : kinds)
		text += fmt::format("files of kind {}: {}\n", kind, count);
	for (const images::Process &process : plan.document->processes())
		text += process_text(plan, process);
	for (const RingStep &step : plan.ring_steps)
		text += ring_text(step);
	return text;
}

} // namespace bpfckpt::restore
