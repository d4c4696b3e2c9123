// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/page_transfer.h"

#include <cstdio>
#include <unordered_set>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "user/memory/estimate.h"
#include "user/memory/page_copy.h"
#include "user/memory/page_map.h"
#include "user/memory/page_share.h"
#include "user/memory/vma_kind.h"
#include "user/util/io.h"

namespace bpfckpt::memory {

using iterators::AddressSpace;
using iterators::VmaRecords;

// An anonymous VMA of this size is worth a scan of its own, without the question for file pages.
static constexpr uint64_t kLargeVma = 4 << 20;
// What the target may grow by between estimate and freeze at no cost.
static constexpr uint64_t kSlack = 1 << 20;

// How much of the page image waits in memory until after the thaw: all of a small process, and a bounded part of a
// large one. Less where many processes or threads have taken that memory already.
static constexpr uint64_t kMaxStaged = 32 << 20;
static constexpr uint64_t kMaxResident = 80 << 20;
// What the freeze adds for each process: what is known of its pages, registers, and the call that it is in.
static constexpr uint64_t kInFreeze = 1536;

struct PageDump::State {
	int file = -1; // the caller's
	PageCopy plan;
	std::vector<SpacePages> spaces;
	std::unordered_map<uint64_t, size_t> parents; // struct mm_struct of those that have forked -> which of `spaces`
	size_t forgotten = 0;                         // those before it have been asked for
	std::vector<SharedPages> shared;
	std::unordered_set<uint64_t> inodes; // of `shared`
	uint64_t loose_offset = 0;

	// `parent`: an address space that was added before, of the process that forked this one; nullptr: none.
	// `forked`: it may share pages with others of the tree.
	Result<> add_space(const AddressSpace &space, const VmaRecords &vmas, const AddressSpace *parent, bool forked);
	Result<> add_mapped_objects(const AddressSpace &space, const VmaRecords &vmas);
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
	return errno_error(errno, "cannot allocate {} KiB for the memory of the target", bytes >> 10)
		.on(kPagesFile)
		.with_hint("free space on that file system, or choose another directory with -D");
}

// Of bpfckpt.
static uint64_t resident_bytes()
{
	unsigned long long pages = 0;
	if (Result<std::string> text = read_file("/proc/self/statm"))
		(void)std::sscanf(text->c_str(), "%*u %llu", &pages);
	return pages * kPageSize;
}

static uint64_t room_to_stage(size_t processes)
{
	uint64_t taken = resident_bytes() + processes * kInFreeze;
	return std::min(kMaxStaged, kMaxResident - std::min(kMaxResident, taken));
}

Result<PageDump> PageDump::prepare(int pages_fd, std::span<const pid_t> pids)
{
	auto state = std::make_unique<State>();
	state->file = pages_fd;
	uint64_t bytes = page_up(estimate_page_bytes(pids));
	TRY(allocate(state->file, bytes));
	// The rest is a bonus: nothing says yet that it will be needed.
	(void)allocate(state->file, bytes + bytes / 16 + kSlack);
	state->plan.stage(std::min(bytes + bytes / 16 + kSlack, room_to_stage(pids.size())));
	return PageDump(std::move(state));
}

Result<> PageDump::copy(const iterators::VmaReader &vmas, const Parents &parents, std::span<const SharedObject> shared,
			const LooseBytes &loose, const MayGoOn &may_go_on)
{
	std::unordered_map<pid_t, const AddressSpace *> by_pid;
	std::unordered_set<pid_t> forks;
	for (const auto &[pid, ppid] : parents)
		if (parents.contains(ppid))
			forks.insert({pid, ppid});
	const VmaRecords records = vmas.records();
	for (const AddressSpace &space : records.spaces) {
		TRY(may_go_on());
		auto ppid = parents.find(space.pids.front());
		auto parent = ppid == parents.end() ? by_pid.end() : by_pid.find(ppid->second);
		TRY(state_->add_space(space, records, parent == by_pid.end() ? nullptr : parent->second,
				      forks.contains(space.pids.front())));
		for (pid_t pid : space.pids)
			by_pid[pid] = &space;
	}
	for (const AddressSpace &space : records.spaces)
		TRY(state_->add_mapped_objects(space, records));
	for (const SharedObject &object : shared)
		TRY(state_->add_object(object));
	if (!loose.bytes.empty())
		state_->loose_offset = state_->plan.add(state_->plan.add_memory(loose.bytes), {0, loose.bytes.size()});
	for (const SharedPages &object : loose.objects) {
		if (!state_->inodes.insert(object.object.inode).second)
			continue;
		SharedPages &result = state_->shared.emplace_back(object);
		for (CopiedRun &run : result.runs)
			run.offset += state_->loose_offset;
	}
	return state_->plan.run(state_->file, may_go_on);
}

Result<> PageDump::finish()
{
	TRY(state_->plan.write_staged(state_->file));
	state_->parents = {};
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
static std::vector<Stretch> plan_scans(const iterators::VmaList &vmas, const std::vector<bool> &is_private)
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

// Since v6.15 there are guards in mappings of files and of shared memory, too, whose pages are found otherwise
// (mm/madvise.c: is_valid_guard_vma()).
static Result<std::vector<Range>> find_other_guards(PageMap &map, const iterators::VmaList &vmas,
						    const std::vector<bool> &is_private)
{
	std::vector<Range> stretches, guards;
	bool fresh = true;
	for (size_t i = 0; i < vmas.size(); i++) {
		if (is_private[i])
			fresh |= vmas[i].end - vmas[i].start >= kLargeVma;
		else if (std::exchange(fresh, false))
			stretches.push_back({vmas[i].start, vmas[i].end});
		else
			stretches.back().end = vmas[i].end;
	}
	for (Range stretch : intersect(stretches, {&kUserAddresses, 1}))
		TRY(map.scan_guards(stretch, guards));
	return guards;
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
static std::vector<Stretch> each_alone(const iterators::VmaList &vmas, const std::vector<bool> &is_private)
{
	std::vector<Stretch> stretches;
	for (size_t i = 0; i < vmas.size(); i++)
		if (is_private[i])
			stretches.push_back(
				{{vmas[i].start, vmas[i].end}, vmas[i].file ? Backing::kFile : Backing::kAnonymous});
	return stretches;
}

static std::vector<Range> ranges_of(std::span<const CopiedRun> runs)
{
	std::vector<Range> ranges;
	for (const CopiedRun &run : runs)
		append(ranges, run.range);
	return ranges;
}

// Where in pages.img the parent's copy of shared pages is.
static Result<std::vector<CopiedRun>> find_shared(const AddressSpace &space, PageMap &map, std::span<const Range> data,
						  const AddressSpace &parent, std::span<const CopiedRun> parents_runs)
{
	std::vector<Range> both = intersect(data, ranges_of(parents_runs));
	std::vector<CopiedRun> shared;
	if (both.empty() || space.mm == parent.mm)
		return shared;
	PageMap parents_map = TRY(PageMap::open(parent.tid));
	std::vector<Range> frames = TRY(shared_frames(parents_map, map, both));
	auto run = parents_runs.begin();
	for (Range range : frames) {
		for (; !range.empty(); range.start = std::min(range.end, run->range.end)) {
			while (run->range.end <= range.start)
				++run;
			shared.push_back({{range.start, std::min(range.end, run->range.end)},
					  run->offset + range.start - run->range.start});
		}
	}
	return shared;
}

namespace {

// Hands out the ranges of an address space, in order, piece by piece: copied, or the parent's.
class RunBuilder {
public:
	RunBuilder(PageCopy &plan, PageCopy::Source source, std::span<const CopiedRun> inherited,
		   std::span<const Range> gently, std::vector<CopiedRun> &runs)
		: plan_(plan), source_(source), inherited_(inherited), gently_(gently), runs_(runs)
	{
	}
	void add(Range range, bool forced)
	{
		while (!range.empty()) {
			while (!inherited_.empty() && inherited_[0].range.end <= range.start)
				inherited_ = inherited_.subspan(1);
			Range piece = range;
			if (inherited_.empty() || inherited_[0].range.start > range.start) {
				if (!inherited_.empty())
					piece.end = std::min(range.end, inherited_[0].range.start);
				copy(piece, forced);
			} else {
				const CopiedRun &run = inherited_[0];
				piece.end = std::min(range.end, run.range.end);
				append_run(runs_, piece, run.offset + piece.start - run.range.start);
			}
			range.start = piece.end;
		}
	}

private:
	void copy(Range range, bool forced)
	{
		while (!range.empty()) {
			while (!gently_.empty() && gently_[0].end <= range.start)
				gently_ = gently_.subspan(1);
			bool inside = !gently_.empty() && gently_[0].start <= range.start;
			Range piece = range;
			if (!gently_.empty())
				piece.end = std::min(range.end, inside ? gently_[0].end : gently_[0].start);
			append_run(runs_, piece, plan_.add(source_, piece, forced || inside));
			range.start = piece.end;
		}
	}

	PageCopy &plan_;
	PageCopy::Source source_;
	std::span<const CopiedRun> inherited_;
	std::span<const Range> gently_;
	std::vector<CopiedRun> &runs_;
};

} // namespace

Result<> PageDump::State::add_space(const AddressSpace &space, const VmaRecords &vmas, const AddressSpace *parent,
				    bool forked)
{
	std::vector<bool> is_private;
	for (const vma_record &vma : space.vmas)
		is_private.push_back(has_private_pages(vma, kind_of(vma, *space.mm, vmas)));

	PageMap map = TRY(PageMap::open(space.tid));
	PageRanges pages;
	for (const Stretch &stretch :
	     map.has_scan() ? plan_scans(space.vmas, is_private) : each_alone(space.vmas, is_private))
		TRY(map.scan(stretch.range, stretch.backing, pages));
	pages.guards = unite(pages.guards, TRY(find_other_guards(map, space.vmas, is_private)));

	std::vector<CopiedRun> inherited;
	if (parent)
		if (auto known = parents.find(parent->mm->mm); known != parents.end())
			inherited = TRY(find_shared(space, map, pages.data, *parent, spaces[known->second].runs));
	if (forked)
		parents.emplace(space.mm->mm, spaces.size());
	SpacePages &result = spaces.emplace_back(SpacePages{space.mm->mm, {}, std::move(pages.guards)});
	std::vector<Range> gently; // read without pinning them
	if (forked)
		gently = TRY(frames_with_others(map, subtract(pages.data, ranges_of(inherited))));
	RunBuilder builder(plan, plan.add_process(space.tid), inherited, gently, result.runs);
	std::span<const Range> data = pages.data;
	for (size_t i = 0; i < space.vmas.size(); i++) {
		const vma_record &vma = space.vmas[i];
		while (!data.empty() && data[0].end <= vma.start)
			data = data.subspan(1);
		for (const Range &range : data) {
			if (range.start >= vma.end)
				break;
			if (is_private[i])
				builder.add({std::max(range.start, uint64_t{vma.start}),
					     std::min(range.end, uint64_t{vma.end})},
					    !(vma.flags & kVmRead));
		}
	}
	return {};
}

Result<> PageDump::State::add_mapped_objects(const AddressSpace &space, const VmaRecords &vmas)
{
	for (const vma_record &vma : space.vmas) {
		if (!maps_nameless_object(vma, kind_of(vma, *space.mm, vmas), vmas.kinds))
			continue;
		SharedObject object = {
			.inode = vma.inode,
			.device = device_number(vma.device),
			.ino = vma.ino,
			.size = vma.size,
			.pid = space.tid,
			.mapping = {vma.start, vma.end},
			.name = std::string(vmas.name_of(vma)),
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

void PageDump::forget(uint64_t mm) const
{
	std::vector<SpacePages> &spaces = state_->spaces;
	for (; state_->forgotten < spaces.size() && spaces[state_->forgotten].mm != mm; state_->forgotten++)
		;
	if (state_->forgotten < spaces.size())
		spaces[state_->forgotten] = {mm, {}, {}};
}

std::span<const SharedPages> PageDump::shared() const
{
	return state_->shared;
}

uint64_t PageDump::loose_offset() const
{
	return state_->loose_offset;
}

uint64_t PageDump::bytes() const
{
	return state_->plan.bytes();
}

} // namespace bpfckpt::memory
