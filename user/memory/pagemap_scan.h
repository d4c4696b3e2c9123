/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (include/uapi/linux/fs.h, since v6.7), which Debian 12's linux-libc-dev
// does not have yet.
#pragma once

#include <cstdint>

#include <sys/ioctl.h>

namespace bpfckpt::memory {

inline constexpr uint64_t kPageIsFile = 1 << 2;
inline constexpr uint64_t kPageIsPresent = 1 << 3;
inline constexpr uint64_t kPageIsSwapped = 1 << 4;
inline constexpr uint64_t kPageIsZero = 1 << 5;  // PFNZERO: the zero page
inline constexpr uint64_t kPageIsGuard = 1 << 8; // since v6.15

struct PageRegion {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct ScanArgument {
	uint64_t size = 0;
	uint64_t flags = 0;
	uint64_t start = 0;
	uint64_t end = 0;
	uint64_t walk_end = 0;
	uint64_t vec = 0;
	uint64_t vec_len = 0;
	uint64_t max_pages = 0;
	uint64_t category_inverted = 0;
	uint64_t category_mask = 0;
	uint64_t category_anyof_mask = 0;
	uint64_t return_mask = 0;
};

inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);

} // namespace bpfckpt::memory
