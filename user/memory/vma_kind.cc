// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/vma_kind.h"

#include <string_view>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "iterators/record_text.h"

namespace bpfckpt::memory {

using iterators::VmaKinds;
using Vma = images::Vma;

static Vma::Kind kind_of_special(std::string_view name)
{
	if (name == "[vdso]")
		return Vma::VDSO;
	if (name == "[vvar]")
		return Vma::VVAR;
	if (name == "[vvar_vclock]")
		return Vma::VVAR_VCLOCK;
	return Vma::UNKNOWN;
}

static Vma::Kind kind_of_anonymous(const vma_record &vma, const mm_record &mm)
{
	if (vma.ops)
		return Vma::UNKNOWN;
	if (vma.flags & kVmGrowsDown)
		return Vma::STACK;
	// fs/proc/task_mmu.c: vma_is_initial_heap()
	if (vma.start < mm.brk && vma.end > mm.start_brk)
		return Vma::HEAP;
	return Vma::ANONYMOUS;
}

// A file of the kernel's own tmpfs, known by its name.
static Vma::Kind kind_of_shmem(std::string_view name)
{
	if (name.starts_with("memfd:"))
		return Vma::MEMFD;
	if (name == "dev/zero") // mm/shmem.c: shmem_zero_setup()
		return Vma::ANON_SHARED;
	if (name.starts_with("SYSV"))
		return Vma::SYSV_SHM;
	return Vma::UNKNOWN;
}

Vma::Kind kind_of(const vma_record &vma, const mm_record &mm, const iterators::VmaRecords &records)
{
	const VmaKinds &kinds = records.kinds;
	auto is = [](uint64_t value, uint64_t learned) { return learned && value == learned; };
	if (is(vma.ops, kinds.special_ops))
		return kind_of_special(records.name_of(vma));
	if (vma.flags & kVmHugetlb)
		return Vma::HUGETLB;
	if (is(vma.f_op, kinds.ring_f_op))
		return Vma::RING;
	if (is(vma.ops, kinds.aio_ops))
		return Vma::AIO_RING;
	if (is(vma.ops, kinds.sysv_ops))
		return Vma::SYSV_SHM;
	if (is(vma.f_op, kinds.secretmem_f_op))
		return Vma::SECRETMEM;
	if (vma.flags & (kVmIo | kVmPfnMap | kVmMixedMap))
		return Vma::DEVICE;
	if (!vma.file)
		return kind_of_anonymous(vma, mm);
	// A private mapping of /dev/zero is anonymous memory with a file (drivers/char/mem.c: mmap_zero()).
	if (!S_ISREG(vma.inode_mode) && vma.ops)
		return S_ISCHR(vma.inode_mode) || S_ISBLK(vma.inode_mode) ? Vma::DEVICE : Vma::UNKNOWN;
	if (!(vma.flags & kVmMayShare))
		return Vma::FILE_PRIVATE;
	return vma.device == kinds.shmem_device ? kind_of_shmem(records.name_of(vma)) : Vma::FILE_SHARED;
}

uint64_t device_number(uint32_t s_dev)
{
	return makedev(s_dev >> 20, s_dev & 0xfffff);
}

bool has_private_pages(const vma_record &vma, Vma::Kind kind)
{
	switch (kind) {
	case Vma::ANONYMOUS:
	case Vma::STACK:
	case Vma::HEAP:
	case Vma::FILE_PRIVATE:
		// A read of a missing page of a userfaultfd waits for a handler that is stopped. What may be dropped
		// at any time is dropped: random state (getrandom in the vDSO) shall not come back twice.
		return !vma.uffd && !(vma.flags & kVmDroppable);
	default:
		return false;
	}
}

bool maps_nameless_object(const vma_record &vma, Vma::Kind kind, const VmaKinds &kinds)
{
	switch (kind) {
	case Vma::FILE_PRIVATE:
	case Vma::FILE_SHARED:
		return vma.device == kinds.shmem_device || (S_ISREG(vma.inode_mode) && vma.links == 0);
	case Vma::ANON_SHARED:
	case Vma::MEMFD:
	case Vma::SYSV_SHM:
		return true;
	default:
		return false;
	}
}

} // namespace bpfckpt::memory
