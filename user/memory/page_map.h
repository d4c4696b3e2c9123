/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// PageMap: which pages of a process hold content of their own, from /proc/PID/pagemap (fs/proc/task_mmu.c).
//
// Present or swapped, not the zero page, not a guard region, and not the page of a file. Nothing else may be read: the
// read of a page that was never touched would populate it in the target.
#pragma once

#include <span>
#include <vector>

#include <sys/types.h>

#include "user/memory/pagemap_scan.h"
#include "user/memory/range.h"
#include "user/util/result.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::memory {

struct PageRanges {
	std::vector<Range> data;
	std::vector<Range> guards; // MADV_GUARD_INSTALL
};

// To tell pages of files from private copies costs three times as much as the scan: ask for it only where files are
// mapped.
enum class Backing { kAnonymous, kFile };

// The end of user addresses on x86-64 with four-level page tables, and of what mmap(2) gives without a hint on five.
inline constexpr Range kUserAddresses = {0, 0x7ffffffff000};

// Whether two entries of page maps name one page, in memory or in swap.
[[nodiscard]] bool is_same_frame(uint64_t left, uint64_t right);

// Whether no other process maps the page of an entry.
[[nodiscard]] bool is_exclusive(uint64_t entry);

class PageMap {
public:
	static Result<PageMap> open(pid_t pid);

	// Whether the kernel has PAGEMAP_SCAN.
	[[nodiscard]] bool has_scan() const { return has_scan_; }

	// Appends to `pages`, in the order of addresses.
	Result<> scan(Range range, Backing backing, PageRanges &pages);

	// Guard regions alone, where the kernel tells them.
	Result<> scan_guards(Range range, std::vector<Range> &guards);

	// Entries of /proc/PID/pagemap from `address` on.
	Result<> read_entries(uint64_t address, std::span<uint64_t> entries);

	// The way without PAGEMAP_SCAN: entry by entry.
	Result<> read(Range range, Backing backing, PageRanges &pages);

private:
	PageMap(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
	void probe();
	ScanArgument scan_of(Range range); // of no category yet
	Result<std::span<const PageRegion>> scan_once(ScanArgument &argument);

	pid_t pid_;
	UniqueFd fd_;
	bool has_scan_ = false;
	uint64_t guard_ = 0; // kPageIsGuard where the kernel knows it
	std::vector<PageRegion> regions_;
};

} // namespace bpfckpt::memory
