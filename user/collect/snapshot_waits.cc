// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Arguments of waits that are registered with a ring: io_uring_enter(2) names a place in its memory region, and the
// region is looked for in the memory of the thread that waits.
#include <algorithm>

#include <linux/io_uring.h>

#include "user/collect/snapshot.h"
#include "user/util/page.h"
#include "user/util/uring_abi.h"

namespace bpfckpt::collect {

namespace {

constexpr uint64_t kArgument = 64; // sizeof(struct io_uring_reg_wait)

// The struct file of the ring that the call names; 0: none.
uint64_t ring_file(const images::InterruptedSyscall &call, const iterators::TaskRecords &tasks, const task_record &task,
		   const iterators::FileReader &files)
{
	uint64_t number = call.args(0);
	if (call.args(3) & IORING_ENTER_REGISTERED_RING)
		return number < TASK_RINGS ? tasks.common_of(task).registered_rings[number] : 0;
	return files.file_at(task.pid, static_cast<uint32_t>(number));
}

// The descriptor may have come to name another ring since the thread began to wait.
bool is_inside_region(const iterators::UringRecords &records, uint64_t address, uint64_t offset)
{
	auto ring = std::ranges::find(records.rings, address, &uring_ring_record::ring);
	return ring != records.rings.end() && ring->param_region_npages &&
	       offset <= ring->param_region_npages * kPageSize - kArgument;
}

} // namespace

// A region of the kernel's own is mapped by the file of the ring. A part that has been unmapped is not there.
uint64_t Snapshot::wait_argument(pid_t tid, const images::InterruptedSyscall &call) const
{
	auto task = std::ranges::find(tasks_->tasks(), static_cast<uint32_t>(tid), &task_record::tid);
	if (task == tasks_->tasks().end())
		return 0;
	const file_record *file = files_->find(ring_file(call, tasks_->records(), *task, *files_));
	if (!file || iterators::kind_of(*file) != FILE_KIND_IO_URING)
		return 0;
	uint64_t offset = call.args(4);
	auto region = ring_checks_.regions.find({file->private_data, URING_REGION_PARAM});
	if (region != ring_checks_.regions.end())
		return region->second.mm == task->mm && is_inside_region(rings_->records(), file->private_data, offset)
			       ? region->second.address + offset
			       : 0;
	if (!vmas_) // build(): no ring has such memory
		return 0;
	for (const iterators::AddressSpace &space : vmas_->spaces()) {
		if (!space.mm || space.mm->mm != task->mm)
			continue;
		for (const vma_record &vma : space.vmas) {
			uint64_t first = vma.pgoff * kPageSize;
			uint64_t wanted = kMapRegion + offset;
			if (vma.file == file->file && (first & IORING_OFF_MMAP_MASK) == kMapRegion && wanted >= first &&
			    wanted + kArgument <= first + (vma.end - vma.start))
				return vma.start + (wanted - first);
		}
	}
	return 0;
}

} // namespace bpfckpt::collect
