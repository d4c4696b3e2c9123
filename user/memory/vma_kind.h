/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What a VMA is, and where its content lives: in private pages, in a shared object, in a file, or nowhere of its own.
#pragma once

#include "images/memory.pb.h"
#include "iterators/vma_reader.h"

namespace bpfckpt::memory {

// vm_flags (include/linux/mm.h). The bits up to 31 are the same on all kernels.
inline constexpr uint64_t kVmRead = 1 << 0;
inline constexpr uint64_t kVmMayWrite = 1 << 5;
inline constexpr uint64_t kVmMayShare = 1
					<< 7; // MAP_SHARED; VM_SHARED is off where the file was not opened for writing
inline constexpr uint64_t kVmGrowsDown = 1 << 8;
inline constexpr uint64_t kVmUffdMissing = 1 << 9;
inline constexpr uint64_t kVmPfnMap = 1 << 10;
inline constexpr uint64_t kVmUffdWp = 1 << 12;
inline constexpr uint64_t kVmLocked = 1 << 13;
inline constexpr uint64_t kVmIo = 1 << 14;
inline constexpr uint64_t kVmSeqRead = 1 << 15;
inline constexpr uint64_t kVmRandRead = 1 << 16;
inline constexpr uint64_t kVmDontCopy = 1 << 17;
inline constexpr uint64_t kVmLockOnFault = 1 << 19;
inline constexpr uint64_t kVmAccount = 1 << 20;
inline constexpr uint64_t kVmNoReserve = 1 << 21;
inline constexpr uint64_t kVmHugetlb = 1 << 22;
inline constexpr uint64_t kVmWipeOnFork = 1 << 25;
inline constexpr uint64_t kVmDontDump = 1 << 26;
inline constexpr uint64_t kVmMixedMap = 1 << 28;
inline constexpr uint64_t kVmHugePage = 1 << 29;
inline constexpr uint64_t kVmNoHugePage = 1 << 30;
inline constexpr uint64_t kVmMergeable = 1UL << 31;
inline constexpr uint64_t kVmStableBits = 0xffffffff;
inline constexpr int kVmProtectionKeyShift = 32; // four bits
inline constexpr uint64_t kVmShadowStack = 1UL << 37;
inline constexpr uint64_t kVmDroppable = 1UL << 40;
inline constexpr uint64_t kVmSealed = 1UL << 42 | 1UL << 63; // 63 from v6.10, 42 since v6.16

[[nodiscard]] images::Vma::Kind kind_of(const vma_record &vma, const mm_record &mm,
					const iterators::VmaRecords &records);

// st_dev of a superblock's s_dev, in which the kernel has 20 bits of minor number (include/linux/kdev_t.h).
[[nodiscard]] uint64_t device_number(uint32_t s_dev);

// Its pages that are not those of a file belong to the process.
[[nodiscard]] bool has_private_pages(const vma_record &vma, images::Vma::Kind kind);

// The mapped object has no path from which it could be had again: memfd, shared anonymous memory, a deleted file.
[[nodiscard]] bool maps_nameless_object(const vma_record &vma, images::Vma::Kind kind,
					const iterators::VmaKinds &kinds);

} // namespace bpfckpt::memory
