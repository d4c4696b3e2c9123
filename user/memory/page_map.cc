// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_map.h"

#include <algorithm>

#include <fcntl.h>

#include "user/util/io.h"
#include "user/util/mapping.h"

namespace bpfckpt::memory {

// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
static constexpr uint64_t kEntryPresent = 1ULL << 63;
static constexpr uint64_t kEntrySwapped = 1ULL << 62;
static constexpr uint64_t kEntryFile = 1ULL << 61;
static constexpr uint64_t kEntryExclusive = 1ULL << 56;
static constexpr uint64_t kEntryGuard = 1ULL << 58;
static constexpr uint64_t kEntryFrame = (1ULL << 55) - 1;

static constexpr size_t kHugePageSize = 2UL << 20;
static constexpr size_t kRegions = 2048;
static constexpr size_t kEntries = 8192;

// Where no huge zero page is used, what was read is a page of our own, whose frame will be somebody else's.
static bool is_zero_page(uint64_t frame)
{
	constexpr uint64_t kZeroPage = 1 << 24; // KPF_ZERO_PAGE, fs/proc/page.c: stable_page_flags()
	Result<UniqueFd> fd = open_at(AT_FDCWD, "/proc/kpageflags", O_RDONLY);
	uint64_t flags = 0;
	return fd &&
	       pread_exact(fd->get(), std::as_writable_bytes(std::span(&flags, 1)),
			   static_cast<off_t>(frame * sizeof(flags))) &&
	       flags & kZeroPage;
}

// The frame of a page of our own that was only read: the kernel's zero page, or one of the huge zero page's. 0 without
// CAP_SYS_ADMIN.
static uint64_t find_zero_frame(size_t size, int advice)
{
	Result<Mapping> pages = Mapping::create(2 * size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	Result<UniqueFd> fd = open_at(AT_FDCWD, "/proc/self/pagemap", O_RDONLY);
	if (!pages || !fd)
		return 0;
	uint64_t address = (reinterpret_cast<uint64_t>(pages->data()) + size - 1) / size * size;
	madvise(reinterpret_cast<void *>(address), size, advice);
	[[maybe_unused]] volatile char touched = *reinterpret_cast<const volatile char *>(address);
	uint64_t entry = 0;
	auto offset = static_cast<off_t>(address / kPageSize * sizeof(entry));
	if (!pread_exact(fd->get(), std::as_writable_bytes(std::span(&entry, 1)), offset))
		return 0;
	uint64_t frame = entry & kEntryFrame;
	return is_zero_page(frame) ? frame : 0;
}

namespace {

// The huge zero page is freed when no process has seen it any more (mm/huge_memory.c: mm_get_huge_zero_folio()); we
// have.
struct ZeroFrames {
	uint64_t small = find_zero_frame(kPageSize, MADV_NOHUGEPAGE);
	uint64_t huge = find_zero_frame(kHugePageSize, MADV_HUGEPAGE);

	[[nodiscard]] bool have(uint64_t frame) const
	{
		constexpr uint64_t kFrames = kHugePageSize / kPageSize;
		return (small && frame == small) || (huge % kFrames == 0 && huge && frame / kFrames == huge / kFrames);
	}
};

} // namespace

Result<PageMap> PageMap::open(pid_t pid)
{
	UniqueFd fd = TRY(open_at(AT_FDCWD, fmt::format("/proc/{}/pagemap", pid), O_RDONLY));
	PageMap map(pid, std::move(fd));
	map.probe();
	return map;
}

void PageMap::probe()
{
	for (uint64_t guard : {uint64_t{kPageIsGuard}, uint64_t{0}}) {
		PageRegion region;
		ScanArgument argument = {
			.size = sizeof(argument),
			.end = kPageSize,
			.vec = reinterpret_cast<uint64_t>(&region),
			.vec_len = 1,
			.category_anyof_mask = kPageIsPresent | kPageIsSwapped,
			.return_mask = kPageIsPresent | guard,
		};
		if (ioctl(fd_.get(), kPagemapScan, &argument) >= 0) {
			has_scan_ = true;
			guard_ = guard;
			regions_.resize(kRegions);
			return;
		}
	}
}

ScanArgument PageMap::scan_of(Range range)
{
	return {.size = sizeof(ScanArgument),
		.start = range.start,
		.end = range.end,
		.vec = reinterpret_cast<uint64_t>(regions_.data()),
		.vec_len = regions_.size()};
}

// Moves its start to where the next call begins.
Result<std::span<const PageRegion>> PageMap::scan_once(ScanArgument &argument)
{
	for (;;) {
		int found = ioctl(fd_.get(), kPagemapScan, &argument);
		if (found < 0 && errno == EINTR)
			continue;
		if (found < 0)
			return errno_error(errno, "cannot scan pages {:#x}-{:#x}", argument.start, argument.end)
				.on(fmt::format("pid {}", pid_));
		auto regions = std::span(regions_).first(static_cast<size_t>(found));
		argument.start = argument.walk_end;
		// Inside a call the kernel walks in batches, and where the last one is not full walk_end is still that
		// of the one before (fs/proc/task_mmu.c: do_pagemap_scan()): its regions would come again.
		if (!regions.empty())
			argument.start = std::max(argument.start, regions.back().end);
		return regions;
	}
}

Result<> PageMap::scan(Range range, Backing backing, PageRanges &pages)
{
	if (!has_scan_)
		return read(range, backing, pages);
	uint64_t without = kPageIsZero | (backing == Backing::kFile ? kPageIsFile : 0);
	ScanArgument argument = scan_of(range);
	argument.category_inverted = without;
	argument.category_mask = without;
	argument.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
	argument.return_mask = kPageIsPresent | guard_;
	while (argument.start < argument.end)
		for (const PageRegion &region : TRY(scan_once(argument)))
			append(region.categories & kPageIsGuard ? pages.guards : pages.data,
			       {region.start, region.end});
	return {};
}

Result<> PageMap::scan_guards(Range range, std::vector<Range> &guards)
{
	ScanArgument argument = scan_of(range);
	argument.category_mask = kPageIsGuard;
	argument.return_mask = kPageIsGuard;
	while (guard_ && argument.start < argument.end)
		for (const PageRegion &region : TRY(scan_once(argument)))
			append(guards, {region.start, region.end});
	return {};
}

bool is_same_frame(uint64_t left, uint64_t right)
{
	static constexpr uint64_t kWhere = kEntryFrame | kEntryPresent | kEntrySwapped;
	return left & kEntryFrame && left & (kEntryPresent | kEntrySwapped) && (left & kWhere) == (right & kWhere);
}

bool is_exclusive(uint64_t entry)
{
	return entry & kEntryExclusive;
}

Result<> PageMap::read_entries(uint64_t address, std::span<uint64_t> entries)
{
	auto offset = static_cast<off_t>(address / kPageSize * sizeof(uint64_t));
	if (Result<> done = pread_exact(fd_.get(), std::as_writable_bytes(entries), offset); !done)
		return std::move(done.error()).on(fmt::format("/proc/{}/pagemap", pid_));
	return {};
}

Result<> PageMap::read(Range range, Backing backing, PageRanges &pages)
{
	static const ZeroFrames zero;
	std::vector<uint64_t> entries(std::min<uint64_t>(range.size() / kPageSize, kEntries));
	while (!range.empty()) {
		auto part = std::span(entries).first(std::min<uint64_t>(range.size() / kPageSize, entries.size()));
		TRY(read_entries(range.start, part));
		for (uint64_t entry : part) {
			Range page = {range.start, range.start + kPageSize};
			range.start = page.end;
			if (!(entry & (kEntryPresent | kEntrySwapped)) ||
			    (backing == Backing::kFile && entry & kEntryFile))
				continue;
			if (entry & kEntryPresent && zero.have(entry & kEntryFrame))
				continue;
			append(entry & kEntryGuard ? pages.guards : pages.data, page);
		}
	}
	return {};
}

} // namespace bpfckpt::memory
