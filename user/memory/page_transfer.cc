// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_transfer.h"

#include <unordered_set>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "user/memory/estimate.h"
#include "user/memory/page_copy.h"
#include "user/memory/page_map.h"
#include "user/memory/vma_kind.h"
#include "user/util/io.h"

namespace bpfckpt::memory {

using iterators::AddressSpace;
using iterators::VmaKinds;

// An anonymous VMA of this size is worth a scan of its own, without the question for file pages.
static constexpr uint64_t kLargeVma = 4 << 20;
// What the target may grow by between estimate and freeze at no cost.
static constexpr uint64_t kSlack = 1 << 20;

// How much of the page image waits in memory until after the thaw: all of a small process, and a bounded part of a
// large one.
static constexpr uint64_t kMaxStaged = 32 << 20;

struct PageDump::State {
	int file = -1; // the caller's
	PageCopy plan;
	std::vector<SpacePages> spaces;
	std::vector<SharedPages> shared;
	std::unordered_set<uint64_t> inodes; // of `shared`

	Result<> add_space(const AddressSpace &space, const VmaKinds &kinds);
	Result<> add_mapped_objects(const AddressSpace &space, const VmaKinds &kinds);
	Result<> add_object(const SharedObject &object);
};

PageDump::PageDump(std::unique_ptr<State> state) : state_(std::move(state)) {}
PageDump::PageDump(PageDump &&) noexcept = default;
PageDump &PageDump::operator=(PageDump &&) noexcept = default;
PageDump::~PageDump() = default;

// Blocks of the file, so that the copy has to find none. A file system that cannot do that is no reason to fail.
static Result<> allocate(int file, uint64_t bytes)
{
	if (bytes == 0 || fallocate(file, 0, 0, static_cast<off_t>(bytes)) == 0 || errno == EOPNOTSUPP)
		return {};
	return errno_error(errno, "cannot allocate {} MiB for the memory of the target", bytes >> 20)
		.on(kPagesFile)
		.with_hint("free space on that file system, or choose another directory with -D");
}

// Every object without a path keeps a descriptor open until it is copied.
static void raise_open_files_limit()
{
	rlimit limit = {};
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

Result<PageDump> PageDump::prepare(int pages_fd, std::span<const pid_t> pids)
{
	raise_open_files_limit();
	auto state = std::make_unique<State>();
	state->file = pages_fd;
	uint64_t bytes = page_up(estimate_page_bytes(pids));
	TRY(allocate(state->file, bytes));
	// The rest is a bonus: nothing says yet that it will be needed.
	(void)allocate(state->file, bytes + bytes / 16 + kSlack);
	state->plan.stage(std::min(bytes + bytes / 16 + kSlack, kMaxStaged));
	return PageDump(std::move(state));
}

Result<> PageDump::copy(const iterators::VmaReader &vmas, std::span<const SharedObject> shared)
{
	for (const AddressSpace &space : vmas.spaces())
		TRY(state_->add_space(space, vmas.kinds()));
	for (const AddressSpace &space : vmas.spaces())
		TRY(state_->add_mapped_objects(space, vmas.kinds()));
	for (const SharedObject &object : shared)
		TRY(state_->add_object(object));
	return state_->plan.run(state_->file);
}

Result<> PageDump::finish()
{
	TRY(state_->plan.write_staged(state_->file));
	if (ftruncate(state_->file, static_cast<off_t>(bytes())) < 0)
		return errno_error(errno, "cannot set the size").on(kPagesFile);
	return {};
}

// Which parts of an address space are scanned in one go, and how.
struct Stretch {
	Range range;
	Backing backing;
};

// One scan for all, except that large anonymous VMAs are scanned without the question for file pages, and large ones
// without private pages not at all.
static std::vector<Stretch> plan_scans(std::span<const vma_record> vmas, const std::vector<bool> &is_private)
{
	std::vector<Stretch> stretches;
	bool fresh = true; // the next VMA begins a stretch of its own
	for (size_t i = 0; i < vmas.size(); i++) {
		const vma_record &vma = vmas[i];
		bool large = vma.end - vma.start >= kLargeVma;
		if (!is_private[i]) {
			fresh |= large;
			continue;
		}
		if (large && !vma.file) {
			stretches.push_back({{vma.start, vma.end}, Backing::kAnonymous});
			fresh = true;
		} else if (fresh) {
			stretches.push_back({{vma.start, vma.end}, Backing::kFile});
			fresh = false;
		} else {
			stretches.back().range.end = vma.end;
		}
	}
	return stretches;
}

// Appends a run, or extends the last one.
static void append_run(std::vector<CopiedRun> &runs, Range range, uint64_t offset)
{
	if (!runs.empty() && runs.back().range.end == range.start &&
	    runs.back().offset + runs.back().range.size() == offset)
		runs.back().range.end = range.end;
	else
		runs.push_back({range, offset});
}

// Without PAGEMAP_SCAN (before 6.7) an entry is read for each page of a stretch, so there must be no gaps in it.
static std::vector<Stretch> each_alone(std::span<const vma_record> vmas, const std::vector<bool> &is_private)
{
	std::vector<Stretch> stretches;
	for (size_t i = 0; i < vmas.size(); i++)
		if (is_private[i])
			stretches.push_back(
				{{vmas[i].start, vmas[i].end}, vmas[i].file ? Backing::kFile : Backing::kAnonymous});
	return stretches;
}

Result<> PageDump::State::add_space(const AddressSpace &space, const VmaKinds &kinds)
{
	std::vector<bool> is_private;
	for (const vma_record &vma : space.vmas)
		is_private.push_back(has_private_pages(vma, kind_of(vma, *space.mm, kinds)));

	PageMap map = TRY(PageMap::open(space.tid));
	PageRanges pages;
	for (const Stretch &stretch :
	     map.has_scan() ? plan_scans(space.vmas, is_private) : each_alone(space.vmas, is_private))
		TRY(map.scan(stretch.range, stretch.backing, pages));

	PageCopy::Source source = plan.add_process(space.tid);
	SpacePages &result = spaces.emplace_back(SpacePages{space.mm->mm, {}, std::move(pages.guards)});
	std::span<const Range> data = pages.data;
	for (size_t i = 0; i < space.vmas.size(); i++) {
		const vma_record &vma = space.vmas[i];
		bool forced = !(vma.flags & kVmRead);
		while (!data.empty() && data[0].end <= vma.start)
			data = data.subspan(1);
		for (const Range &range : data) {
			if (range.start >= vma.end)
				break;
			Range common = {std::max(range.start, uint64_t{vma.start}),
					std::min(range.end, uint64_t{vma.end})};
			if (is_private[i])
				append_run(result.runs, common, plan.add(source, common, forced));
		}
	}
	return {};
}

Result<> PageDump::State::add_mapped_objects(const AddressSpace &space, const VmaKinds &kinds)
{
	for (const vma_record &vma : space.vmas) {
		if (!maps_nameless_object(vma, kind_of(vma, *space.mm, kinds), kinds))
			continue;
		SharedObject object = {
			.inode = vma.inode,
			.device = device_number(vma.device),
			.ino = vma.ino,
			.size = vma.size,
			.pid = space.tid,
			.mapping = {vma.start, vma.end},
			.name = vma.name,
		};
		TRY(add_object(object));
	}
	return {};
}

Result<> PageDump::State::add_object(const SharedObject &object)
{
	if (!inodes.insert(object.inode).second)
		return {};
	SharedPages &result = shared.emplace_back(SharedPages{object, {}});
	UniqueFd fd = TRY(open_object(object));
	std::vector<Range> data = TRY(find_data(fd.get()));
	if (data.empty())
		return {};
	PageCopy::Source source = plan.add_object(std::move(fd), object.name);
	for (const Range &range : data)
		result.runs.push_back({range, plan.add(source, range)});
	return {};
}

std::span<const SpacePages> PageDump::spaces() const
{
	return state_->spaces;
}

std::span<const SharedPages> PageDump::shared() const
{
	return state_->shared;
}

uint64_t PageDump::bytes() const
{
	return state_->plan.bytes();
}

} // namespace bpfckpt::memory
