// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The mappings of rings. The kernel takes no address for them, neither fixed nor as a hint, nor does it move them
// (io_uring/memmap.c: io_uring_get_unmapped_area). So every other hole that they would fit into is plugged for a
// moment.
#include <algorithm>
#include <map>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/restore/memory.h"
#include "user/restore/ring_parts.h"
#include "user/target/stub_process.h"
#include "user/uring/worker_limits.h"
#include "user/util/page.h"

namespace bpfckpt::restore {

using target::RemoteRange;
using target::SyscallBatch;

static constexpr uint64_t kLowest = 0x10000;             // the largest mmap_min_addr in use
static constexpr uint64_t kTaskSize = 0x7ffffffff000;    // TASK_SIZE without 5-level paging
static constexpr uint64_t kStackGuard = 256 * kPageSize; // stack_guard_gap: no mapping is put there

namespace {

class RingMapper {
public:
	RingMapper(Member &member, const Plan &plan, const OpenFiles &files)
		: member_(member), plan_(plan), files_(files)
	{
	}
	Result<> run();

private:
	Result<int> descriptor(SyscallBatch &batch, uint32_t file);
	Result<> find_plugs();
	Result<> map_all(SyscallBatch &batch);
	Result<> register_indexes(const images::Thread &thread, target::Tracee &tracee);
	Result<> set_workers(const images::Thread &thread, target::Tracee &tracee);
	void use_ring(SyscallBatch &batch, const images::Thread &thread, int number) const;

	Member &member_;
	const Plan &plan_;
	const OpenFiles &files_;
	std::vector<const images::Vma *> vmas_;
	std::vector<RemoteRange> plugs_;
	std::vector<std::pair<size_t, uint64_t>> expected_; // call -> address
	std::map<uint32_t, int> descriptors_;               // File.id -> the tracee's
};

// 0 is bpfckpt's pidfd, so they come as 1, 2, 3 ...
Result<int> RingMapper::descriptor(SyscallBatch &batch, uint32_t file)
{
	auto [it, added] = descriptors_.emplace(file, static_cast<int>(descriptors_.size()) + 1);
	if (added && files_.fd(file) < 0)
		return make_error(Code::kInternal, "file {} is not there", file).on(name_of(*member_.image));
	if (added)
		batch.add(SYS_pidfd_getfd, kToolNumber, files_.fd(file), 0);
	return it->second;
}

// Holes beside a ring are plugged whatever their size: together with the ring's own they would be larger than it.
Result<> RingMapper::find_plugs()
{
	std::vector<RemoteRange> taken = TRY(target::mappings_of(member_.pid()));
	for (const images::Vma &vma : plan_.memory_of(*member_.image)->vmas())
		if (std::ranges::find(vma.advice(), "gd") != vma.advice().end() && vma.start() > kStackGuard)
			taken.push_back({vma.start() - kStackGuard, kStackGuard});
	uint64_t smallest = kTaskSize;
	for (const images::Vma *vma : vmas_) {
		taken.push_back({vma->start(), vma->end() - vma->start()});
		smallest = std::min(smallest, vma->end() - vma->start());
	}
	taken.push_back({kTaskSize, 0});
	taken.push_back({kLowest, 0}); // a plug ends there
	std::ranges::sort(taken, {}, &RemoteRange::address);
	auto is_ring = [this](uint64_t from, uint64_t to) {
		return std::ranges::any_of(vmas_, [&](auto *vma) { return vma->end() == from || vma->start() == to; });
	};
	uint64_t from = kPageSize;
	for (const RemoteRange &range : taken) {
		uint64_t to = range.address;
		if (to > from && (to - from >= smallest || is_ring(from, to)))
			plugs_.push_back({from, to - from});
		from = std::max(from, range.end());
	}
	return {};
}

static void add_plug(SyscallBatch &batch, const RemoteRange &range)
{
	constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
	// Who may not map below mmap_min_addr is not given an address there either.
	if (range.address < kLowest)
		batch.add_optional(SYS_mmap, range.address, range.size, PROT_NONE, kFlags, -1, 0);
	else
		batch.add(SYS_mmap, range.address, range.size, PROT_NONE, kFlags, -1, 0);
}

Result<> RingMapper::map_all(SyscallBatch &batch)
{
	TRY(find_plugs());
	for (const RemoteRange &plug : plugs_)
		add_plug(batch, plug);
	for (const images::Vma *vma : vmas_)
		add_plug(batch, {vma->start(), vma->end() - vma->start()});
	for (const images::Vma *vma : vmas_) {
		int fd = TRY(descriptor(batch, vma->file()));
		batch.add(SYS_munmap, vma->start(), vma->end() - vma->start());
		expected_.emplace_back(
			batch.add(SYS_mmap, 0, vma->end() - vma->start(), vma->prot(), MAP_SHARED, fd, vma->offset()),
			vma->start());
	}
	for (const RemoteRange &plug : plugs_)
		batch.add(SYS_munmap, plug.address, plug.size);
	for (const images::Vma *vma : vmas_)
		add_advice(batch, *vma);
	return {};
}

// IORING_REGISTER_RING_FDS goes through a ring that lets this thread; any of them does.
Result<> RingMapper::register_indexes(const images::Thread &thread, target::Tracee &tracee)
{
	std::vector<io_uring_rsrc_update> updates;
	int through = -1;
	for (const images::RegisteredRing &registered : thread.registered_rings()) {
		io_uring_rsrc_update &update = updates.emplace_back();
		update.offset = registered.index();
		update.data = static_cast<uint64_t>(descriptors_.at(registered.file()));
		if (auto ring = plan_.rings.find(registered.ring());
		    ring != plan_.rings.end() && uring::may_register(*ring->second, thread))
			through = static_cast<int>(update.data);
	}
	if (updates.empty())
		return {};
	SyscallBatch batch;
	batch.add(SYS_io_uring_register, through, IORING_REGISTER_RING_FDS,
		  batch.data(std::as_bytes(std::span(updates))), updates.size());
	return batch.run(tracee);
}

// What a thread's io-wq workers have that they do not get by themselves, and a ring that the thread may use.
struct Workers {
	std::optional<std::array<uint32_t, 2>> limits;
	const std::string *cpus = nullptr;
	const images::Ring *ring = nullptr;
};

Workers workers_of(const images::Document &document, const images::Process &process, const images::Thread &thread)
{
	Workers workers;
	workers.limits = uring::limits_to_set(document, process, thread.tid());
	for (const images::Ring &ring : document.rings())
		if (!workers.cpus)
			workers.cpus = uring::cpus_to_set(ring, thread.tid());
	if (workers.limits || workers.cpus)
		workers.ring = uring::ring_to_register(document, thread);
	return workers;
}

// A thread has workers once it uses a ring: registering it for a moment is the use that leaves nothing behind.
void RingMapper::use_ring(SyscallBatch &batch, const images::Thread &thread, int number) const
{
	if (!thread.registered_rings().empty())
		return;
	io_uring_rsrc_update update = {};
	update.data = static_cast<uint64_t>(number);
	batch.add(SYS_io_uring_register, number, IORING_REGISTER_RING_FDS, batch.value(update), 1);
	update.data = 0;
	batch.add(SYS_io_uring_register, number, IORING_UNREGISTER_RING_FDS, batch.value(update), 1);
}

// Through a ring of bpfckpt's own: it changes nothing of the program's, does not count as one that the thread uses, and
// has no SQ thread, whose workers it would be about (io_uring/register.c: __io_register_iowq_aff()).
Result<> RingMapper::set_workers(const images::Thread &thread, target::Tracee &tracee)
{
	Workers workers = workers_of(*plan_.document, *member_.image, thread);
	if (!workers.ring)
		return {};
	io_uring_params params = {};
	UniqueFd own(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
	int number = static_cast<int>(descriptors_.size()) + 1;
	SyscallBatch batch;
	use_ring(batch, thread, descriptors_.at(workers.ring->file()));
	batch.add(SYS_pidfd_getfd, kToolNumber, own.get(), 0);
	if (workers.cpus)
		batch.add(SYS_io_uring_register, number, IORING_REGISTER_IOWQ_AFF,
			  batch.data(std::as_bytes(std::span(*workers.cpus))), workers.cpus->size());
	if (workers.limits)
		batch.add(SYS_io_uring_register, number, IORING_REGISTER_IOWQ_MAX_WORKERS,
			  batch.exchange(*workers.limits), workers.limits->size());
	batch.add(SYS_close, number);
	return batch.run(tracee);
}

Result<> RingMapper::run()
{
	for (const images::Vma &vma : plan_.memory_of(*member_.image)->vmas())
		if (vma.kind() == images::Vma::RING)
			vmas_.push_back(&vma);
	SyscallBatch batch;
	OpenFiles::add_tool(batch, kToolNumber);
	for (auto &[thread, tracee] : member_.all_threads())
		for (const images::RegisteredRing &ring : thread->registered_rings())
			TRY(descriptor(batch, ring.file()));
	for (auto &[thread, tracee] : member_.all_threads())
		if (Workers workers = workers_of(*plan_.document, *member_.image, *thread); workers.ring)
			TRY(descriptor(batch, workers.ring->file()));
	if (!vmas_.empty())
		TRY(map_all(batch));
	if (descriptors_.empty())
		return {};
	TRY(batch.run(member_.leader));
	for (auto [call, address] : expected_)
		if (batch.result(call) != static_cast<int64_t>(address))
			return make_error(Code::kInternal, "a ring came to lie at {:#x}, not {:#x}", batch.result(call),
					  address)
				.on(name_of(*member_.image));
	for (auto &[thread, tracee] : member_.all_threads()) {
		TRY(register_indexes(*thread, *tracee));
		TRY(set_workers(*thread, *tracee));
	}
	SyscallBatch last;
	last.add(SYS_close_range, 0, ~0U, 0);
	return last.run(member_.leader);
}

} // namespace

Result<> map_rings(Member &member, const Plan &plan, const OpenFiles &files)
{
	return RingMapper(member, plan, files).run();
}

} // namespace bpfckpt::restore
