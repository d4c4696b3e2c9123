// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/snapshot.h"

#include <algorithm>
#include <future>
#include <unordered_map>

#include <linux/io_uring.h>

#include "user/collect/file.h"
#include "user/collect/memory.h"
#include "user/collect/ring_errand.h"
#include "user/collect/timer.h"
#include "user/collect/uring.h"
#include "user/collect/uring_works.h"
#include "user/collect/watches.h"
#include "user/memory/vma_kind.h"

namespace bpfckpt::collect {

static constexpr int kGrowths = 8; // each makes what was too small at least an eighth larger than it had to be

// What each process has, and some more of what those have that are not alike.
template <class Count>
static void make_room(Count &capacity, size_t needed)
{
	capacity = std::max<Count>(capacity, static_cast<Count>(needed + needed / 32));
}

Result<Snapshot> Snapshot::load(size_t processes)
{
	iterators::TaskCapacity task_room;
	iterators::TimerCapacity timer_room;
	iterators::VmaCapacity vma_room;
	make_room(task_room.tasks, processes);
	make_room(task_room.processes, processes);
	make_room(timer_room.processes, processes);
	make_room(vma_room.spaces, processes);
	Snapshot snapshot;
	// The verifier takes most of the time; two cores halve it.
	auto tasks = std::async(std::launch::async, [&] { return iterators::TaskReader::load(task_room); });
	auto timers = std::async(std::launch::async, [&] { return iterators::TimerReader::load(timer_room); });
	auto vmas = std::async(std::launch::async, [&] { return iterators::VmaReader::load(vma_room); });
	auto files = iterators::FileReader::load({});
	snapshot.files_ = TRY(std::move(files));
	snapshot.tasks_ = TRY(tasks.get());
	snapshot.timers_ = TRY(timers.get());
	snapshot.vmas_ = TRY(vmas.get());
	snapshot.rings_ = iterators::UringReader::when_needed();
	return snapshot;
}

Result<std::vector<pid_t>> Snapshot::find_tree(pid_t root)
{
	// All tasks of the system are gone through, and there may be more by the time that there is room for them.
	Result<> listed = tasks_->run_tree();
	for (int i = 0; !listed && listed.error().code == Code::kLimit && i < kGrowths; i++) {
		tasks_ = TRY(iterators::TaskReader::load(tasks_->needed()));
		listed = tasks_->run_tree();
	}
	TRY(std::move(listed));
	std::vector<unsigned> pids = descendants(tasks_->trees(), static_cast<unsigned>(root));
	if (pids.empty())
		return make_error(Code::kGone, "no such process").on(fmt::format("pid {}", root));
	return std::vector<pid_t>(pids.begin(), pids.end());
}

Result<> Snapshot::attach(std::span<const pid_t> pids)
{
	pids_.assign(pids.begin(), pids.end());
	TRY(tasks_->attach(pids_));
	TRY(timers_->attach(pids_));
	TRY(files_->attach(pids_));
	TRY(vmas_->attach(pids));
	return {};
}

std::vector<uint64_t> Snapshot::ring_addresses() const
{
	std::vector<uint64_t> rings;
	for (const file_record &file : files_->files())
		if (iterators::kind_of(file) == iterators::FileKind::FILE_KIND_IO_URING)
			rings.push_back(file.private_data);
	return rings;
}

// Executables, and rings that only a registered index names.
std::vector<uint64_t> Snapshot::files_of_tasks() const
{
	std::vector<uint64_t> files;
	iterators::TaskRecords records = tasks_->records();
	for (const process_record &process : records.processes)
		files.push_back(process.exe_file);
	for (const task_record &task : records.tasks)
		for (uint64_t ring : records.common_of(task).registered_rings)
			if (task.io_uring && ring)
				files.push_back(ring);
	return files;
}

Result<> Snapshot::capture_rings()
{
	TRY(rings_->run(ring_addresses(), [this] { return files_->describe(rings_->registered_files()); }));
	TRY(look_at_pages());
	return files_->describe(rings_->files_of_requests());
}

// A tree without rings does not need it.
Result<> Snapshot::load_layout()
{
	if (!layout_ && !rings_->records().rings.empty())
		layout_ = TRY(iterators::KernelLayout::load());
	return {};
}

// The struct file of a request; 0: none. One that waits for a worker looks it up when it begins, and has the number
// till then (io_uring/io_uring.c: io_wq_submit_work(), io_assign_file()).
static uint64_t file_of(const uring_request_record &request, const iterators::UringReader &rings,
			const iterators::FileReader &files, const iterators::TaskReader &tasks)
{
	if (request.file)
		return request.file;
	iterators::UringRecords records = rings.records();
	if (request.req_flags & IOSQE_FIXED_FILE) {
		for (const uring_file_record &slot : records.files)
			if (slot.ring == request.ring && slot.slot == request.cqe_flags)
				return slot.file;
		return 0;
	}
	auto thread = std::ranges::find(records.attachments, request.tctx, &uring_attachment_record::tctx);
	if (thread == records.attachments.end())
		return 0;
	auto task = std::ranges::find(tasks.tasks(), thread->tid, &task_record::tid);
	return task == tasks.tasks().end() ? 0 : files.file_at(task->pid, request.cqe_flags);
}

bool Snapshot::is_disk(uint64_t address) const
{
	const file_record *file = files_->find(address);
	if (!file)
		return false;
	iterators::FileKind kind = iterators::kind_of(*file);
	return kind == FILE_KIND_REGULAR || kind == FILE_KIND_DIRECTORY || kind == FILE_KIND_BLOCKDEV;
}

// What a step after capture() reads may have grown since, even in a frozen tree: a timeout fires, a worker goes on.
template <class Step>
auto Snapshot::with_room(Step step) -> decltype(step())
{
	for (int round = 0;; round++) {
		auto done = step();
		if (done || done.error().code != Code::kLimit || round == kGrowths)
			return done;
		TRY(grow());
		TRY(capture());
	}
}

Result<uring::DrainReport> Snapshot::drain(uring::DrainMode mode, std::chrono::milliseconds limit,
					   target::FrozenTree &tree, const MayGoOn &may_go_on)
{
	std::vector<uint64_t> rings = ring_addresses();
	if (rings.empty())
		return uring::DrainReport{};
	TRY(load_layout());
	RingErrands errands(tree, *files_, *tasks_, limit);
	const uring::DrainOptions options = {
		.mode = mode,
		.limit = limit,
		.is_disk =
			[this](const uring_request_record &request) {
				return is_disk(file_of(request, *rings_, *files_, *tasks_));
			},
		.run_errand = [&](const uring::Errand &errand) { return errands.run(errand); },
		.may_go_on = may_go_on,
	};
	return with_room([&] { return uring::drain(*rings_, rings, *layout_, options); });
}

Result<> Snapshot::observe_rings()
{
	constexpr std::chrono::milliseconds kLimit{100};
	std::vector<uint64_t> rings = ring_addresses();
	if (rings.empty())
		return {};
	TRY(load_layout());
	auto on_disk = [this](const uring_request_record &request) {
		return is_disk(file_of(request, *rings_, *files_, *tasks_));
	};
	return with_room([&]() -> Result<> {
		ring_checks_.stuck = TRY(uring::observe(*rings_, rings, *layout_, on_disk, kLimit));
		TRY(files_->describe(rings_->registered_files()));
		return files_->describe(rings_->files_of_requests());
	});
}

Result<> Snapshot::capture_once()
{
	time_ = CaptureTime::now();
	TRY(tasks_->run());
	TRY(timers_->run());
	TRY(files_->run());
	TRY(vmas_->run());
	TRY(segments_.capture(vmas_->records()));
	paths_ = read_process_paths(tasks_->tasks(), mounts_.now());
	TRY(files_->describe_fds());
	unlinked_ = Unlinked::capture(*files_);
	socket_options_.capture(*files_);
	TRY(files_->describe(vmas_->files()));
	TRY(files_->describe(files_of_tasks()));
	return capture_rings();
}

// The old maps are gone before there are new ones.
template <class Reader>
static Result<> load_again(std::optional<Reader> &reader)
{
	auto needed = reader->needed();
	reader.reset();
	reader = TRY(Reader::load(needed));
	return {};
}

// Loads the readers whose maps were too small anew. Growing costs a load, some 20 ms; it is rare, and never inside the
// freeze unless the target grew that much since the capture() before.
Result<> Snapshot::grow()
{
	TRY(load_again(files_));
	TRY(load_again(tasks_));
	TRY(load_again(timers_));
	TRY(load_again(vmas_));
	if (rings_->is_loaded())
		rings_ = TRY(iterators::UringReader::load(iterators::UringCapacity{}.grown_to(rings_->needed())));
	return attach(std::vector<pid_t>(pids_.begin(), pids_.end()));
}

Result<> Snapshot::capture()
{
	for (int round = 0;; round++) {
		Result<> done = capture_once();
		if (done)
			return load_layout();
		if (done.error().code != Code::kLimit || round == kGrowths)
			return done;
		TRY(grow());
	}
}

static void add_mapping(const images::Memory &memory, const images::Vma &vma, images::Ring &ring)
{
	images::RingMapping *mapping = ring.add_mappings();
	mapping->set_address_space(memory.id());
	mapping->set_start(vma.start());
	mapping->set_end(vma.end());
	mapping->set_offset(vma.offset());
}

// Ring.id by File.id.
std::unordered_map<uint32_t, uint32_t> Snapshot::rings_by_file(const Context &context) const
{
	std::unordered_map<uint32_t, uint32_t> rings;
	for (const file_record &file : files_->files())
		if (iterators::kind_of(file) == iterators::FileKind::FILE_KIND_IO_URING)
			rings[context.ids.files.find(file.file)] = context.ids.rings.find(file.private_data);
	return rings;
}

// What names a ring by its file gets the ring's id, too; the ring, where it is mapped.
void Snapshot::link_rings(const std::unordered_map<uint32_t, uint32_t> &ring_of_file, Context &context)
{
	images::Document &document = *context.document;
	for (images::Process &process : *document.mutable_processes())
		for (images::Thread &thread : *process.mutable_threads())
			for (images::RegisteredRing &registered : *thread.mutable_registered_rings())
				if (auto ring = ring_of_file.find(registered.file()); ring != ring_of_file.end())
					registered.set_ring(ring->second);
	std::unordered_map<uint32_t, images::Ring *> rings;
	for (images::Ring &ring : *document.mutable_rings())
		rings[ring.id()] = &ring;
	for (const images::Memory &memory : document.memory())
		for (const images::Vma &vma : memory.vmas())
			if (auto ring = rings.find(vma.ring()); ring != rings.end())
				add_mapping(memory, vma, *ring->second);
}

// By struct file.
std::unordered_set<uint64_t> Snapshot::ring_files() const
{
	std::unordered_set<uint64_t> rings;
	for (const file_record &file : files_->files())
		if (iterators::kind_of(file) == iterators::FileKind::FILE_KIND_IO_URING)
			rings.insert(file.file);
	return rings;
}

// Who has a ring open or mapped, used or not, and whose threads have left requests behind: one of their threads may
// have to set it up again. By PID.
std::unordered_set<uint32_t> Snapshot::ring_holders() const
{
	const std::unordered_set<uint64_t> rings = ring_files();
	std::unordered_set<uint32_t> pids;
	if (rings.empty())
		return pids;
	for (const fd_record &fd : files_->fds())
		if (rings.contains(fd.file))
			pids.insert(fd.pid);
	for (const iterators::AddressSpace &space : vmas_->spaces())
		if (std::ranges::any_of(space.vmas, [&](const vma_record &vma) { return rings.contains(vma.file); }))
			pids.insert(space.pids.begin(), space.pids.end());
	std::unordered_set<uint64_t> left; // struct signal_struct
	for (const uring_request_record &request : rings_->records().requests)
		left.insert(request.exited_from);
	for (const process_record &process : tasks_->records().processes)
		if (left.contains(process.signal))
			pids.insert(process.pid);
	return pids;
}

// Of those who use rings, and of those who hold one without having used it; what rings have taken from whom.
std::unordered_set<uint32_t> Snapshot::ring_memory(const Context &context) const
{
	std::unordered_set<uint32_t> spaces; // Memory.id
	auto add = [&](uint64_t mm) { spaces.insert(context.ids.address_spaces.find(mm)); };
	for (const images::Process &process : context.document->processes())
		if (context.ring_users.contains(process.pid()))
			spaces.insert(process.address_space());
	for (const auto &[buffer, place] : ring_checks_.buffers.places) {
		add(place.mm);
		for (const uring::PinnedPage &page : place.elsewhere)
			add(page.mm);
	}
	for (const auto &[region, place] : ring_checks_.regions)
		add(place.mm);
	for (const uring::StaleMapping &mapping : stale_mappings_)
		add(mapping.mm);
	return spaces;
}

// After the build: who waits in a tree that goes on after all may have its argument in the memory of a ring
// (snapshot_waits.cc).
bool Snapshot::are_vmas_asked_for() const
{
	return std::ranges::any_of(rings_->records().rings, &uring_ring_record::param_region_npages);
}

Result<> Snapshot::build(const memory::PageDump *pages, Context &context)
{
	context.time = time_;
	for (uint64_t ring : ring_addresses())
		context.ids.rings.id_of(ring);
	context.own_namespaces = own_namespaces();
	context.ring_users = ring_holders();
	collect_tasks(tasks_->records(), paths_, context);
	collect_cgroups(context);
	refuse_other_labels(context);
	refuse_unreachable_descriptors(context);
	collect_timers(timers_->records(), context);
	collect_files(files_->records(), unlinked_, context);
	name_watches(files_->records(), context);
	socket_options_.add_to(context);
	collect_deleted_cwds(paths_, context);
	names_.add_to(context);
	const std::unordered_map<uint32_t, uint32_t> ring_of_file = rings_by_file(context);
	ring_checks_.loose_offset = pages ? pages->loose_offset() : 0;
	if (layout_)
		context.ring_memory = ring_memory(context);
	add_stale_objects(context);
	context.add_rings = [&](images::Memory &memory) {
		mark_stale_mappings(memory, context);
		for (images::Vma &vma : *memory.mutable_vmas())
			if (auto ring = ring_of_file.find(vma.file());
			    vma.kind() == images::Vma::RING && ring != ring_of_file.end())
				vma.set_ring(ring->second);
	};
	TRY(collect_memory(vmas_->records(), pages, context));
	context.add_rings = nullptr;
	if (context.take_memory) { // of thousands of processes the records are much
		if (!are_vmas_asked_for())
			vmas_.reset();
		timers_.reset();
	}
	segments_.add_to(context);
	if (!pages)
		collect_resident_bytes(context);
	if (layout_) {
		ring_checks_.is_disk = [this](const uring_request_record &request) {
			return is_disk(file_of(request, *rings_, *files_, *tasks_));
		};
		ring_checks_.functions = queued_functions(rings_->records().requests);
		collect_rings(rings_->records(), *layout_, files_->records(), ring_checks_, context);
	}
	link_rings(ring_of_file, context);
	check_opens(*context.document);
	return {};
}

} // namespace bpfckpt::collect
