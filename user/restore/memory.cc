// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/restore/memory.h"

#include <algorithm>
#include <map>
#include <ranges>
#include <unordered_set>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iterators/vma_reader.h"
#include "user/memory/page_map.h"
#include "user/restore/protection_keys.h"
#include "user/restore/sysv_shm.h"
#include "user/restore/vdso.h"
#include "user/target/batch.h"
#include "user/target/stub_process.h"

namespace bpfckpt::restore {

using memory::Range;
using target::SyscallBatch;

constexpr int kArchMapVdso64 = 0x2003;    // ARCH_MAP_VDSO_64 (arch/x86/include/uapi/asm/prctl.h)
static constexpr int kGuardInstall = 102; // MADV_GUARD_INSTALL
static constexpr long kMseal = 462;
static constexpr int kSetMdwe = 65;           // PR_SET_MDWE (v6.3)
static constexpr int kSetMemoryMerge = 67;    // PR_SET_MEMORY_MERGE (v6.4)
static constexpr int kFutexHash = 78;         // PR_FUTEX_HASH (v6.16)
static constexpr int kFutexHashSetSlots = 1;  // PR_FUTEX_HASH_SET_SLOTS
static constexpr int kMapDroppable = 8;       // MAP_DROPPABLE (v6.11), in place of MAP_PRIVATE
static constexpr uint64_t kVmLocked = 0x2000; // VM_LOCKED (include/linux/mm.h)
static constexpr uint64_t kVmLockOnFault = 0x80000;

namespace {

struct Advice {
	const char *flag; // as in VmFlags of smaps
	int advice;
};

constexpr Advice kAdvice[] = {
	{"hg", MADV_HUGEPAGE},   {"nh", MADV_NOHUGEPAGE}, {"mg", MADV_MERGEABLE}, {"dc", MADV_DONTFORK},
	{"wf", MADV_WIPEONFORK}, {"dd", MADV_DONTDUMP},   {"rr", MADV_RANDOM},    {"sr", MADV_SEQUENTIAL},
};

class AddressSpace {
public:
	AddressSpace(Member &member, const images::Memory &memory, const OpenFiles &files, const PageImage &pages)
		: member_(member), memory_(memory), files_(files), pages_(pages)
	{
		for (const images::PageRun &run : memory.pages())
			runs_.push_back(&run);
	}

	Result<> restore();
	Result<> restore_early(std::span<const images::Vma *const> vmas, std::span<const Range> ranges);

private:
	Result<> take_keys();
	Result<> map_all();
	Result<> map(SyscallBatch &batch, const images::Vma &vma);
	void map_part(SyscallBatch &batch, const images::Vma &vma, Range part);
	void flush(SyscallBatch &batch);
	[[nodiscard]] std::span<const MappedPart> early_parts(const images::Vma &vma) const;
	Result<> fill(std::span<const Range> ranges);
	void map_vdso(SyscallBatch &batch);
	void finish(SyscallBatch &batch, const images::Vma &vma);
	void set_layout(SyscallBatch &batch);
	void set_attributes(SyscallBatch &batch);
	Result<int> descriptor(SyscallBatch &batch, int source);
	[[nodiscard]] int source_of(const images::Vma &vma) const;
	[[nodiscard]] bool has_pages(const images::Vma &vma) const;
	[[nodiscard]] uint32_t first_prot(const images::Vma &vma) const;

	Member &member_;
	const images::Memory &memory_;
	const OpenFiles &files_;
	const PageImage &pages_;
	std::vector<const images::PageRun *> runs_;
	std::map<int, int> descriptors_; // ours -> the tracee's

	// Anonymous memory that lies side by side is mapped in one call; mprotect(2) parts it later. Empty: none waits.
	struct Anonymous {
		uint64_t start, end;
		uint32_t prot;
		int flags;
	} waiting_ = {};
};

bool has_flag(const images::Vma &vma, std::string_view flag)
{
	return std::ranges::find(vma.advice(), flag) != vma.advice().end();
}

bool is_special(const images::Vma &vma)
{
	return vma.kind() == images::Vma::VDSO || vma.kind() == images::Vma::VVAR ||
	       vma.kind() == images::Vma::VVAR_VCLOCK || vma.kind() == images::Vma::VSYSCALL ||
	       vma.kind() == images::Vma::RING;
}

bool AddressSpace::has_pages(const images::Vma &vma) const
{
	auto it = std::ranges::upper_bound(runs_, vma.start(), {},
					   [](const images::PageRun *run) { return run->start() + run->length(); });
	return it != runs_.end() && (*it)->start() < vma.end();
}

// Private memory is written through the mapping, and is accounted (VmFlags "ac") only if it was writable once. What is
// executable only would get a protection key.
uint32_t AddressSpace::first_prot(const images::Vma &vma) const
{
	if (!vma.shared() && (has_pages(vma) || has_flag(vma, "ac")))
		return vma.prot() | PROT_READ | PROT_WRITE;
	if (vma.prot() == PROT_EXEC)
		return PROT_READ | PROT_EXEC;
	return vma.prot();
}

int AddressSpace::source_of(const images::Vma &vma) const
{
	if (vma.kind() != images::Vma::ANON_SHARED && files_.fd(vma.file()) >= 0)
		return files_.fd(vma.file());
	return vma.shared_memory() ? files_.shared_memory_fd(vma.shared_memory()) : -1;
}

// 0 is bpfckpt's pidfd, so they come as 1, 2, 3 ...
Result<int> AddressSpace::descriptor(SyscallBatch &batch, int source)
{
	auto [it, added] = descriptors_.emplace(source, static_cast<int>(descriptors_.size()) + 1);
	if (added)
		batch.add(SYS_pidfd_getfd, 0, source, 0);
	return it->second;
}

void AddressSpace::flush(SyscallBatch &batch)
{
	if (waiting_.start != waiting_.end)
		batch.add(SYS_mmap, waiting_.start, waiting_.end - waiting_.start, waiting_.prot, waiting_.flags, -1,
			  0);
	waiting_ = {};
}

void AddressSpace::map_part(SyscallBatch &batch, const images::Vma &vma, Range part)
{
	int source = source_of(vma);
	int flags = MAP_FIXED | (vma.shared() ? MAP_SHARED : MAP_PRIVATE);
	if (has_flag(vma, "dp"))
		flags = MAP_FIXED | kMapDroppable;
	if (has_flag(vma, "gd"))
		flags |= MAP_GROWSDOWN;
	if (has_flag(vma, "nr"))
		flags |= MAP_NORESERVE;
	if (source >= 0) {
		batch.add(SYS_mmap, part.start, part.size(), first_prot(vma), flags, descriptors_.at(source),
			  vma.offset() + part.start - vma.start());
		return;
	}
	flags |= MAP_ANONYMOUS;
	uint32_t prot = first_prot(vma);
	bool goes_on = waiting_.end == part.start && waiting_.prot == prot && waiting_.flags == flags;
	if (!goes_on || vma.shared() || (flags & MAP_GROWSDOWN)) {
		flush(batch);
		waiting_ = {.start = part.start, .end = part.start, .prot = prot, .flags = flags};
	}
	waiting_.end = part.end;
}

std::span<const MappedPart> AddressSpace::early_parts(const images::Vma &vma) const
{
	auto start = [](const MappedPart &part) { return part.range.start; };
	auto first = std::ranges::lower_bound(member_.mapped, vma.start(), {}, start);
	return {first, std::ranges::lower_bound(first, member_.mapped.end(), vma.end(), {}, start)};
}

// What is not mapped yet.
Result<> AddressSpace::map(SyscallBatch &batch, const images::Vma &vma)
{
	if (int source = source_of(vma); source >= 0)
		TRY(descriptor(batch, source));
	else if (vma.kind() != images::Vma::ANONYMOUS && vma.kind() != images::Vma::STACK &&
		 vma.kind() != images::Vma::HEAP)
		return make_error(Code::kInternal, "has no file to map at {:#x}", vma.start())
			.on(name_of(*member_.image));
	std::vector<Range> parts;
	for (const MappedPart &part : early_parts(vma))
		memory::append(parts, part.range);
	Range whole = {vma.start(), vma.end()};
	for (const Range &part : memory::subtract(std::span(&whole, 1), parts))
		map_part(batch, vma, part);
	return {};
}

// The kernel maps [vvar] and [vdso] together, the first of them at the address given.
void AddressSpace::map_vdso(SyscallBatch &batch)
{
	if (member_.other_vdso)
		return;
	uint64_t start = ~0ULL;
	bool has_vdso = false;
	for (const images::Vma &vma : memory_.vmas()) {
		if (is_special(vma) && vma.kind() != images::Vma::VSYSCALL && vma.kind() != images::Vma::RING)
			start = std::min(start, vma.start());
		has_vdso |= vma.kind() == images::Vma::VDSO;
	}
	if (has_vdso)
		batch.add(SYS_arch_prctl, kArchMapVdso64, start);
}

Result<> AddressSpace::map_all()
{
	SyscallBatch batch;
	// Where huge pages are for all, a page that is filled would bring its whole neighbourhood into being.
	batch.add(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	map_vdso(batch);
	attach_segments(batch, files_.plan(), memory_);
	OpenFiles::add_tool(batch, 0);
	for (const images::Vma &vma : memory_.vmas())
		if (!is_special(vma) && vma.kind() != images::Vma::SYSV_SHM)
			TRY(map(batch, vma));
	flush(batch);
	if (int exe = files_.fd(memory_.layout().exe_file()); exe >= 0)
		TRY(descriptor(batch, exe));
	TRY(batch.run(member_.leader));
	return {};
}

void AddressSpace::finish(SyscallBatch &batch, const images::Vma &vma)
{
	uint64_t size = vma.end() - vma.start();
	bool attached = vma.kind() == images::Vma::SYSV_SHM; // as a whole, with the rights of the attachment
	if (attached || first_prot(vma) != vma.prot() || vma.protection_key() || !early_parts(vma).empty())
		add_protection(batch, vma);
	add_advice(batch, vma);
	for (const images::Range &guard : vma.guards())
		batch.add(SYS_madvise, guard.start(), guard.end() - guard.start(), kGuardInstall);
	if (vma.kind() == images::Vma::ANONYMOUS && !vma.name().empty() && vma.name()[0] != '[')
		batch.add_optional(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, vma.start(), size,
				   batch.text(vma.name()));
	// Over guards it gives ENOMEM, and locks the rest all the same.
	if (has_flag(vma, "lo"))
		batch.add_optional(SYS_mlock2, vma.start(), size, has_flag(vma, "lf") ? MLOCK_ONFAULT : 0);
	if (has_flag(vma, "sl"))
		batch.add(kMseal, vma.start(), size, 0);
}

// struct prctl_mm_map (include/uapi/linux/prctl.h), and the auxiliary vector behind it.
void AddressSpace::set_layout(SyscallBatch &batch)
{
	const images::MmLayout &layout = memory_.layout();
	if (!layout.start_code())
		return;
	prctl_mm_map map = {};
	map.start_code = layout.start_code();
	map.end_code = layout.end_code();
	map.start_data = layout.start_data();
	map.end_data = layout.end_data();
	map.start_brk = layout.start_brk();
	map.brk = layout.brk();
	map.start_stack = layout.start_stack();
	map.arg_start = layout.arg_start();
	map.arg_end = layout.arg_end();
	map.env_start = layout.env_start();
	map.env_end = layout.env_end();
	map.auxv_size = static_cast<uint32_t>(layout.auxv().size());
	int exe = files_.fd(layout.exe_file());
	map.exe_fd = static_cast<uint32_t>(exe < 0 ? -1 : descriptors_.at(exe));
	std::vector<std::byte> bytes(sizeof(map) + layout.auxv().size());
	memcpy(bytes.data(), &map, sizeof(map));
	memcpy(bytes.data() + sizeof(map), layout.auxv().data(), layout.auxv().size());
	std::vector<SyscallBatch::Fixup> fixups;
	if (map.auxv_size)
		fixups.push_back({offsetof(prctl_mm_map, auxv), sizeof(map)});
	batch.add(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, batch.data(bytes, fixups), sizeof(map), 0);
}

// Those pages of the images that lie in `ranges`.
Result<> AddressSpace::fill(std::span<const Range> ranges)
{
	std::vector<images::PageRun> parts;
	for (const images::PageRun *run : runs_) {
		Range whole = {run->start(), run->start() + run->length()};
		while (!ranges.empty() && ranges[0].end <= whole.start)
			ranges = ranges.subspan(1);
		for (const Range &part : memory::intersect(std::span(&whole, 1), ranges)) {
			images::PageRun &wanted = parts.emplace_back();
			wanted.set_start(part.start);
			wanted.set_length(part.size());
			wanted.set_offset(run->offset() + part.start - run->start());
		}
	}
	std::vector<const images::PageRun *> pointers;
	pointers.reserve(parts.size());
	for (const images::PageRun &part : parts)
		pointers.push_back(&part);
	return pages_.fill(member_.leader, pointers);
}

Result<> AddressSpace::restore_early(std::span<const images::Vma *const> vmas, std::span<const Range> ranges)
{
	SyscallBatch batch;
	batch.add(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	OpenFiles::add_tool(batch, 0);
	for (const images::Vma *vma : vmas)
		TRY(map(batch, *vma));
	flush(batch);
	batch.add(SYS_close_range, 0, ~0U, 0);
	TRY(batch.run(member_.leader));
	std::unordered_set<const images::Vma *> whole(vmas.begin(), vmas.end());
	std::erase_if(member_.mapped, [&](const MappedPart &part) { return whole.contains(part.vma); });
	for (const images::Vma *vma : vmas)
		member_.mapped.push_back({{vma->start(), vma->end()}, vma});
	std::ranges::sort(member_.mapped, {}, [](const MappedPart &part) { return part.range.start; });
	TRY(fill(memory::subtract(ranges, member_.filled)));
	member_.filled = memory::unite(member_.filled, ranges);
	return {};
}

// What prctl(2) and membarrier(2) have set for the whole address space.
void AddressSpace::set_attributes(SyscallBatch &batch)
{
	const images::MmLayout &layout = memory_.layout();
	for (uint32_t command = 1; command && command <= layout.membarrier(); command <<= 1)
		if (layout.membarrier() & command)
			batch.add(SYS_membarrier, command, 0, 0);
	if (layout.memory_merge())
		batch.add(SYS_prctl, kSetMemoryMerge, 1, 0, 0, 0);
	if (layout.futex_slots())
		batch.add(SYS_prctl, kFutexHash, kFutexHashSetSlots,
			  layout.futex_slots() == 1 ? 0 : layout.futex_slots(), 0);
	// Nothing becomes executable from here on.
	if (layout.mdwe())
		batch.add(SYS_prctl, kSetMdwe, layout.mdwe(), 0, 0, 0);
}

Result<> AddressSpace::take_keys()
{
	SyscallBatch batch;
	ProtectionKeys keys(batch, memory_.layout());
	std::vector<target::RemoteRange> occupied = files_.plan().occupied;
	occupied.push_back(member_.leader.stub().area());
	keys.take(TRY(target::find_hole(occupied, kPageSize)));
	if (batch.empty())
		return {};
	TRY(batch.run(member_.leader));
	return keys.check();
}

Result<> AddressSpace::restore()
{
	if (memory_.layout().protection_keys() || memory_.layout().execute_only_key())
		TRY(take_keys());
	TRY(map_all());
	if (member_.filled.empty())
		TRY(pages_.fill(member_.leader, runs_));
	else
		TRY(fill(memory::subtract(std::span(&memory::kUserAddresses, 1), member_.filled)));
	if (member_.other_vdso)
		TRY(restore_other_vdso(member_, memory_, pages_));
	SyscallBatch batch;
	// From the end: what mprotect(2) parts from a mapping then is what is new and small, which takes 3/4 of the
	// time.
	for (const images::Vma &vma : memory_.vmas() | std::views::reverse)
		if (!is_special(vma))
			finish(batch, vma);
	set_layout(batch);
	bool advised_only = memory_.layout().thp_advised_only();
	batch.add(SYS_prctl, PR_SET_THP_DISABLE, memory_.layout().thp_disabled() || advised_only,
		  advised_only ? iterators::kThpExceptAdvised : 0, 0, 0);
	set_attributes(batch);
	if (memory_.def_flags() & kVmLocked)
		batch.add(SYS_mlockall, MCL_FUTURE | (memory_.def_flags() & kVmLockOnFault ? MCL_ONFAULT : 0));
	batch.add(SYS_close_range, 0, ~0U, 0);
	return batch.run(member_.leader);
}

} // namespace

void add_advice(SyscallBatch &batch, const images::Vma &vma)
{
	for (const Advice &advice : kAdvice)
		if (has_flag(vma, advice.flag))
			batch.add(SYS_madvise, vma.start(), vma.end() - vma.start(), advice.advice);
}

Result<> restore_memory(Member &member, const images::Memory &memory, const OpenFiles &files, const PageImage &pages)
{
	return AddressSpace(member, memory, files, pages).restore();
}

Result<> restore_memory_early(Member &member, const images::Memory &memory, std::span<const images::Vma *const> vmas,
			      std::span<const memory::Range> ranges, const OpenFiles &files, const PageImage &pages)
{
	return AddressSpace(member, memory, files, pages).restore_early(vmas, ranges);
}

} // namespace bpfckpt::restore
