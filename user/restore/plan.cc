// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/plan.h"

#include <algorithm>
#include <cstring>

#include "user/util/id_set.h"

namespace bpfckpt::restore {

std::string name_of(const images::Process &process)
{
	return fmt::format("pid {} ({})", process.pid(), process.comm());
}

uint64_t xstate_in_use(const images::Thread &thread)
{
	static constexpr size_t kHeader = 512; // behind the legacy area
	uint64_t features = 0;
	if (thread.xstate().size() >= kHeader + sizeof(features))
		memcpy(&features, thread.xstate().data() + kHeader, sizeof(features));
	return features;
}

const images::File *Plan::file(uint32_t id) const
{
	auto it = files.find(id);
	return it == files.end() ? nullptr : it->second;
}

const images::Memory *Plan::memory_of(const images::Process &process) const
{
	auto it = memories.find(process.address_space());
	return it == memories.end() ? nullptr : it->second;
}

static Result<> index(Plan &plan)
{
	const images::Document &document = *plan.document;
	for (const images::Process &process : document.processes())
		if (!plan.processes.emplace(static_cast<pid_t>(process.pid()), &process).second)
			return make_error(Code::kCorrupt, "is there twice").on(name_of(process));
	plan.files.reserve(static_cast<size_t>(document.files_size()));
	for (const images::File &file : document.files())
		plan.files.emplace(file.id(), &file);
	for (const images::Memory &memory : document.memory())
		plan.memories.emplace(memory.id(), &memory);
	for (const images::SharedMemory &shared : document.shared_memory())
		plan.shared_memories.emplace(shared.id(), &shared);
	for (const images::Ring &ring : document.rings())
		plan.rings.emplace(ring.id(), &ring);
	return {};
}

// Shared anonymous memory hangs on a file of its own (/dev/zero), which comes with the memory; so does a segment.
static void find_open_files(Plan &plan)
{
	IdSet needed(static_cast<size_t>(plan.document->files_size()));
	for (const images::Process &process : plan.document->processes()) {
		needed.insert(process.cwd_file());
		for (const images::FdEntry &entry : process.files())
			needed.insert(entry.file());
	}
	for (const images::Memory &memory : plan.document->memory()) {
		needed.insert(memory.layout().exe_file());
		for (const images::Vma &vma : memory.vmas())
			if (vma.kind() != images::Vma::ANON_SHARED && vma.kind() != images::Vma::SYSV_SHM)
				needed.insert(vma.file());
	}
	for (const images::File &file : plan.document->files())
		for (const images::EpollItem &item : file.epoll().items())
			needed.insert(item.file());
	for (const images::Ring &ring : plan.document->rings()) {
		needed.insert(ring.file());
		needed.insert(ring.eventfd().file());
		for (const images::FixedFile &file : ring.fixed_files())
			needed.insert(file.file());
		for (const images::Request &request : ring.in_flight())
			needed.insert(request.file());
	}
	for (const images::File &file : plan.document->files())
		if (needed.contains(file.id()))
			plan.open_files.push_back(&file);
}

static Result<> find_root(Plan &plan)
{
	for (const images::Process &process : plan.document->processes()) {
		if (plan.processes.contains(static_cast<pid_t>(process.ppid())) && process.ppid() != process.pid())
			continue;
		if (plan.root)
			return make_error(Code::kCorrupt, "neither it nor pid {} has its parent in the images",
					  plan.root)
				.on(name_of(process));
		plan.root = static_cast<pid_t>(process.pid());
	}
	if (!plan.root)
		return Error(Code::kCorrupt, "no process is the root of the tree");
	return {};
}

static void measure(Plan &plan)
{
	for (const images::Process &process : plan.document->processes())
		plan.max_threads = std::max(plan.max_threads, static_cast<size_t>(process.threads_size()));
	for (const images::Memory &memory : plan.document->memory())
		for (const images::Vma &vma : memory.vmas())
			plan.occupied.push_back({vma.start(), vma.end() - vma.start()});
	// Memory that may be there no more, and has to be for a moment.
	for (const images::Ring &ring : plan.document->rings())
		for (const images::FixedBuffer &buffer : ring.buffers())
			plan.occupied.push_back({buffer.address() & ~4095ULL, (buffer.length() + 8191) & ~4095ULL});
	std::ranges::sort(plan.occupied, {}, &target::RemoteRange::address);
}

Result<Plan> make_plan(const images::Document &document, const images::Manifest &manifest, Findings &findings)
{
	Plan plan;
	plan.document = &document;
	plan.manifest = &manifest;
	for (const images::Reason &reason : manifest.not_restorable())
		findings.push_back(
			Error(Code::kUnsupported, reason.message()).on(reason.object()).with_hint(reason.hint()));
	TRY(index(plan));
	TRY(find_root(plan));
	measure(plan);
	find_open_files(plan);
	TRY(plan_tree(plan, findings));
	TRY(plan_rings(plan, findings));
	check_support(plan, findings);
	return plan;
}

static Result<> find_obstacles(Plan &plan, Findings &findings)
{
	TRY(index(plan));
	TRY(find_root(plan));
	return plan_tree(plan, findings);
}

Findings find_tree_obstacles(const images::Document &document)
{
	Findings findings;
	Plan plan;
	plan.document = &document;
	if (Result<> done = find_obstacles(plan, findings); !done)
		findings.push_back(std::move(done).error());
	return findings;
}

} // namespace bpfckpt::restore
