/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a VMA is, and where its content lives: in private pages, in a shared object, in a file, or nowhere of its own.
#pragma once

#include "images/memory.pb.h"
#include "iterators/vma_reader.h"

namespace bpfckpt::memory {

// vm_flags (include/linux/mm.h): these bits are the same on all kernels; those above 31 are not.
enum VmFlag : uint64_t {
	kVmRead = 0x1,
	kVmWrite = 0x2,
	kVmExec = 0x4,
	kVmMayWrite = 0x20,
	kVmMayShare = 0x80, // MAP_SHARED; VM_SHARED is off where the file was not opened for writing
	kVmGrowsDown = 0x100,
	kVmPfnMap = 0x400,
	kVmLocked = 0x2000,
	kVmIo = 0x4000,
	kVmSeqRead = 0x8000,
	kVmRandRead = 0x10000,
	kVmDontCopy = 0x20000,
	kVmDontExpand = 0x40000,
	kVmLockOnFault = 0x80000,
	kVmAccount = 0x100000,
	kVmNoReserve = 0x200000,
	kVmHugetlb = 0x400000,
	kVmSync = 0x800000,
	kVmWipeOnFork = 0x2000000,
	kVmDontDump = 0x4000000,
	kVmMixedMap = 0x10000000,
	kVmHugePage = 0x20000000,
	kVmNoHugePage = 0x40000000,
	kVmMergeable = 0x80000000,
};

[[nodiscard]] images::Vma::Kind kind_of(const vma_record &vma, const mm_record &mm, const iterators::VmaKinds &kinds);

// st_dev of a superblock's s_dev, in which the kernel has 20 bits of minor number (include/linux/kdev_t.h).
[[nodiscard]] uint64_t device_number(uint32_t s_dev);

// Its pages that are not those of a file belong to the process.
[[nodiscard]] bool has_private_pages(const vma_record &vma, images::Vma::Kind kind);

// The mapped object has no path from which it could be had again: memfd, shared anonymous memory, a deleted file.
[[nodiscard]] bool maps_nameless_object(const vma_record &vma, images::Vma::Kind kind,
					const iterators::VmaKinds &kinds);

} // namespace bpfckpt::memory
