// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/collect/memory.h"

#include <algorithm>
#include <charconv>

#include <linux/membarrier.h>
#include <sys/mman.h>

#include "iterators/record_text.h"
#include "user/memory/vma_kind.h"
#include "user/util/io.h"

namespace bpfckpt::collect {

using images::Vma;
using iterators::AddressSpace;
using memory::CopiedRun;
using memory::PageDump;

namespace {

struct NamedFlag {
	uint64_t flag;
	const char *name;
};

// As fs/proc/task_mmu.c names them: show_smap_vma_flags().
constexpr NamedFlag kAdvice[] = {
	{memory::kVmGrowsDown, "gd"}, {memory::kVmLocked, "lo"},      {memory::kVmLockOnFault, "lf"},
	{memory::kVmDontCopy, "dc"},  {memory::kVmDontDump, "dd"},    {memory::kVmWipeOnFork, "wf"},
	{memory::kVmHugePage, "hg"},  {memory::kVmNoHugePage, "nh"},  {memory::kVmMergeable, "mg"},
	{memory::kVmRandRead, "rr"},  {memory::kVmSeqRead, "sr"},     {memory::kVmAccount, "ac"},
	{memory::kVmNoReserve, "nr"}, {memory::kVmUffdMissing, "um"}, {memory::kVmUffdWp, "uw"},
	{memory::kVmSealed, "sl"},    {memory::kVmShadowStack, "ss"}, {memory::kVmDroppable, "dp"},
};

class Collector {
public:
	Collector(const iterators::VmaRecords &vmas, const PageDump *pages, Context &ctx);
	Result<> add_space(const AddressSpace &space);
	void add_shared_memory();
	void check_complete();

private:
	void add_vma(const vma_record &record, Vma::Kind kind, const std::string &owner, images::Memory &memory);
	void name_vma(const vma_record &record, Vma &vma);
	void add_object_of(const vma_record &record, Vma &vma);
	[[nodiscard]] std::string process_name(uint32_t pid) const;
	const memory::SpacePages *pages_of(uint64_t mm);
	void add_pages(const mm_record &mm, images::Memory &memory);
	void check_space(const mm_record &mm, const std::string &owner);
	void check_vma(const vma_record &record, Vma::Kind kind, const std::string &owner);

	const iterators::VmaRecords &vmas_;
	const PageDump *pages_;
	Context &ctx_;
	std::unordered_map<uint32_t, const images::File *> files_;
	std::unordered_map<uint32_t, images::SharedMemory *> shared_;
	std::vector<std::pair<uint32_t, const std::string *>> names_; // of processes, by pid
	std::span<const memory::SpacePages> pages_left_;              // that are still to be asked for
};

void set_layout(const mm_record &mm, std::span<const __u64> auxv, const Ids &ids, images::MmLayout &layout)
{
	layout.set_start_code(mm.start_code);
	layout.set_end_code(mm.end_code);
	layout.set_start_data(mm.start_data);
	layout.set_end_data(mm.end_data);
	layout.set_start_brk(mm.start_brk);
	layout.set_brk(mm.brk);
	layout.set_start_stack(mm.start_stack);
	layout.set_arg_start(mm.arg_start);
	layout.set_arg_end(mm.arg_end);
	layout.set_env_start(mm.env_start);
	layout.set_env_end(mm.env_end);
	layout.set_exe_file(ids.files.find(mm.exe_file));
	// Pairs up to AT_NULL, which is told too (fs/proc/base.c: proc_pid_auxv).
	size_t words = 0;
	while (words + 2 <= auxv.size() && auxv[words])
		words += 2;
	auxv = auxv.first(std::min(words + 2, auxv.size()));
	layout.set_auxv(auxv.data(), auxv.size_bytes());
}

struct Registration {
	uint32_t state;   // include/linux/sched/mm.h: MEMBARRIER_STATE_*
	uint32_t command; // include/uapi/linux/membarrier.h
};

constexpr Registration kRegistrations[] = {
	{1 << 1, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED},
	{1 << 3, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED},
	{1 << 5, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE},
	{1 << 7, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ},
};

// include/linux/mm_types.h: MMF_HAS_MDWE, MMF_HAS_MDWE_NO_INHERIT, MMF_VM_MERGE_ANY. From v6.4 to v6.6 the last one was
// 29, alone: it is no state of the other two.
constexpr uint32_t kMdweRefuseExecGain = 1 << 0; // PR_MDWE_REFUSE_EXEC_GAIN (v6.3)
constexpr uint32_t kMdweNoInherit = 1 << 1;      // PR_MDWE_NO_INHERIT (v6.7)
constexpr uint64_t kMmfMdwe = 1 << 28;
constexpr uint64_t kMmfBit29 = 1 << 29;
constexpr uint64_t kMmfMergeAny = 1 << 30;

void set_attributes(const mm_record &mm, const iterators::VmaKinds &kinds, images::MmLayout &layout)
{
	uint32_t registered = 0;
	for (const auto &[state, command] : kRegistrations)
		if (mm.membarrier & state)
			registered |= command;
	layout.set_membarrier(registered);
	layout.set_thp_disabled(mm.flags & kinds.thp_disabled);
	layout.set_thp_advised_only(mm.flags & kinds.thp_advised_only);
	if (mm.flags & kMmfMdwe)
		layout.set_mdwe(kMdweRefuseExecGain | (mm.flags & kMmfBit29 ? kMdweNoInherit : 0));
	uint16_t own = mm.execute_only_key > 0 ? mm.execute_only_key & 15 : 0;
	layout.set_protection_keys(mm.keys & ~1U & ~(own ? 1U << own : 0));
	layout.set_execute_only_key(own);
	layout.set_memory_merge(mm.flags & kMmfMergeAny || (mm.flags & kMmfBit29 && !(mm.flags & kMmfMdwe)));
	layout.set_futex_slots(mm.futex_slots);
}

uint32_t key_of(const vma_record &record)
{
	return static_cast<uint32_t>(record.flags >> memory::kVmProtectionKeyShift) & 15;
}

void add_runs(std::span<const CopiedRun> runs, google::protobuf::RepeatedPtrField<images::PageRun> &messages)
{
	messages.Reserve(static_cast<int>(runs.size()));
	for (const CopiedRun &run : runs) {
		images::PageRun *message = messages.Add();
		message->set_start(run.range.start);
		message->set_length(run.range.size());
		message->set_offset(run.offset);
	}
}

// Second field of /proc/PID/statm, in pages.
uint64_t resident_bytes(pid_t pid)
{
	Result<std::string> text = read_file(fmt::format("/proc/{}/statm", pid));
	if (!text)
		return 0;
	uint64_t pages = 0;
	size_t at = text->find(' ');
	if (at != std::string::npos)
		std::from_chars(text->data() + at + 1, text->data() + text->size(), pages);
	return pages * kPageSize;
}

} // namespace

Collector::Collector(const iterators::VmaRecords &vmas, const PageDump *pages, Context &ctx)
	: vmas_(vmas), pages_(pages), ctx_(ctx)
{
	for (const images::File &file : ctx.document->files())
		files_.emplace(file.id(), &file);
	for (const images::Process &process : ctx.document->processes())
		names_.emplace_back(process.pid(), &process.comm());
	std::ranges::sort(names_);
}

std::string Collector::process_name(uint32_t pid) const
{
	auto it = std::ranges::lower_bound(names_, std::pair{pid, static_cast<const std::string *>(nullptr)});
	if (it == names_.end() || it->first != pid)
		return fmt::format("pid {}", pid);
	return fmt::format("pid {} ({})", pid, *it->second);
}

// How many attach a segment is only known when all are there.
static bool is_whole_later(const images::Memory &memory)
{
	return std::ranges::any_of(memory.vmas(), [](const Vma &vma) { return vma.kind() == Vma::SYSV_SHM; });
}

// Whether rings can have to do with it: they want memory that can be written to, and cannot have what will never be.
static bool may_be_of_rings(const Vma &vma)
{
	return vma.prot() & PROT_WRITE || vma.shared() || vma.kind() == Vma::RING || vma.shared_memory() ||
	       std::ranges::find(vma.advice(), "sl") != vma.advice().end();
}

// What is asked of it when the rings are known (user/uring/holders.h, restorable.h).
static void keep_for_rings(const Vma &whole, images::Memory &memory)
{
	Vma &vma = *memory.add_vmas();
	vma.set_start(whole.start());
	vma.set_end(whole.end());
	vma.set_prot(whole.prot());
	vma.set_kind(whole.kind());
	vma.set_offset(whole.offset());
	vma.set_shared(whole.shared());
	vma.set_may_write(whole.may_write());
	vma.set_shared_memory(whole.shared_memory());
	vma.set_ring(whole.ring());
	for (const std::string &advice : whole.advice())
		if (advice == "sl")
			vma.add_advice(advice);
}

static void reduce(images::Memory &memory, Context &ctx)
{
	images::Memory rest;
	rest.set_id(memory.id());
	bool all = ctx.ring_memory && ctx.ring_memory->contains(memory.id());
	if (all)
		*rest.mutable_pids() = memory.pids();
	for (const Vma &vma : memory.vmas()) {
		if (vma.kind() == Vma::VDSO)
			ctx.vdsos.push_back({memory.id(), vma.start(), vma.end()});
		if ((all && may_be_of_rings(vma)) || (ctx.ring_memory && vma.shared_memory()))
			keep_for_rings(vma, rest);
	}
	memory = std::move(rest);
}

Result<> Collector::add_space(const AddressSpace &space)
{
	const mm_record &mm = *space.mm;
	images::Memory &memory = *ctx_.document->add_memory();
	memory.set_id(ctx_.ids.address_spaces.id_of(mm.mm));
	for (pid_t pid : space.pids)
		memory.add_pids(static_cast<uint32_t>(pid));
	memory.set_def_flags(mm.def_flags & memory::kVmStableBits);
	set_layout(mm, vmas_.auxv_of(mm), ctx_.ids, *memory.mutable_layout());
	set_attributes(mm, vmas_.kinds, *memory.mutable_layout());
	std::string owner = process_name(static_cast<uint32_t>(space.pids.front()));
	check_space(mm, owner);
	for (const vma_record &record : space.vmas)
		add_vma(record, memory::kind_of(record, mm, vmas_), owner, memory);
	images::MemoryTotals &totals = *memory.mutable_totals();
	totals.set_virtual_bytes(mm.total_vm * kPageSize);
	totals.set_locked_bytes(mm.locked_vm * kPageSize);
	if (pages_)
		add_pages(mm, memory);
	if (ctx_.add_rings)
		ctx_.add_rings(memory);
	if (ctx_.take_memory && !is_whole_later(memory)) {
		TRY(ctx_.take_memory(memory));
		reduce(memory, ctx_);
		if (pages_)
			pages_->forget(mm.mm);
	}
	return {};
}

void Collector::add_vma(const vma_record &record, Vma::Kind kind, const std::string &owner, images::Memory &memory)
{
	Vma &vma = *memory.add_vmas();
	vma.set_start(record.start);
	vma.set_end(record.end);
	vma.set_prot(record.flags & (PROT_READ | PROT_WRITE | PROT_EXEC));
	vma.set_flags(record.flags & memory::kVmStableBits);
	vma.set_kind(kind);
	vma.set_shared(record.flags & memory::kVmMayShare);
	vma.set_may_write(record.flags & memory::kVmMayWrite);
	vma.set_has_policy(record.policy);
	vma.set_protection_key(key_of(record));
	for (const NamedFlag &advice : kAdvice) {
		if (record.flags & advice.flag)
			vma.add_advice(advice.name);
	}
	// VM_UFFD_MINOR has been renumbered: what is registered and neither of the other two.
	if (record.uffd && !(record.flags & (memory::kVmUffdMissing | memory::kVmUffdWp)))
		vma.add_advice("ui");
	name_vma(record, vma);
	ctx_.mappings_of_file[vma.file()]++;
	if (memory::maps_nameless_object(record, kind, vmas_.kinds))
		add_object_of(record, vma);
	check_vma(record, kind, owner);
}

void Collector::name_vma(const vma_record &record, Vma &vma)
{
	if (std::string_view name = vmas_.name_of(record); !name.empty())
		vma.set_name(std::string(name));
	if (!record.file)
		return;
	vma.set_offset(record.pgoff * kPageSize);
	vma.set_file(ctx_.ids.files.find(record.file));
	if (auto file = files_.find(vma.file()); file != files_.end())
		vma.set_name(file->second->path());
}

void Collector::add_object_of(const vma_record &record, Vma &vma)
{
	if (!record.inode) {
		ctx_.findings.push_back(Error(Code::kInternal, "what it maps was not found")
						.on(fmt::format("mapping {:x}-{:x}", record.start, record.end)));
		return;
	}
	uint32_t id = ctx_.ids.shared_memory.id_of(record.inode);
	vma.set_shared_memory(id);
	if (shared_.contains(id))
		return;
	images::SharedMemory &object = *ctx_.document->add_shared_memory();
	shared_.emplace(id, &object);
	object.set_id(id);
	object.set_size(record.size);
	object.set_device(memory::device_number(record.device));
	object.set_inode(record.ino);
	object.set_name(vma.name());
}

// Both lists have the order of the passes.
const memory::SpacePages *Collector::pages_of(uint64_t mm)
{
	std::span<const memory::SpacePages> all = pages_->spaces();
	if (pages_left_.empty() || pages_left_.front().mm != mm) {
		auto found = std::ranges::find(all, mm, &memory::SpacePages::mm);
		if (found == all.end())
			return nullptr;
		pages_left_ = all.subspan(static_cast<size_t>(found - all.begin()));
	}
	const memory::SpacePages *pages = &pages_left_.front();
	pages_left_ = pages_left_.subspan(1);
	return pages;
}

void Collector::add_pages(const mm_record &mm, images::Memory &memory)
{
	const memory::SpacePages *space = pages_of(mm.mm);
	if (!space) {
		ctx_.findings.push_back(Error(Code::kInternal, "its pages were not copied")
						.on(fmt::format("address space {}", memory.id())));
		return;
	}
	add_runs(space->runs, *memory.mutable_pages());
	uint64_t bytes = 0;
	for (const CopiedRun &run : space->runs)
		bytes += run.range.size();
	memory.mutable_totals()->set_image_bytes(bytes);

	for (Vma &vma : *memory.mutable_vmas()) {
		memory::Range range = {vma.start(), vma.end()};
		for (const memory::Range &guard : memory::intersect(std::span(&range, 1), space->guards)) {
			images::Range *message = vma.add_guards();
			message->set_start(guard.start);
			message->set_end(guard.end);
		}
	}
}

void Collector::check_space(const mm_record &mm, const std::string &owner)
{
	if (mm.oddities & MM_IA32)
		ctx_.refuse(owner, "runs 32-bit code", "only 64-bit programs can be dumped");
	if (mm.oddities & MM_LDT)
		ctx_.refuse(owner, "has a local descriptor table (modify_ldt)", "bpfckpt handles 64-bit programs only");
	if (mm.oddities & MM_TAGGED_ADDRESS)
		ctx_.refuse(owner, "uses tagged addresses (ARCH_ENABLE_TAGGED_ADDR)", "start it without");
}

void Collector::check_vma(const vma_record &record, Vma::Kind kind, const std::string &owner)
{
	auto refuse = [&](bool found, const char *state, const char *hint) {
		if (found)
			ctx_.refuse(fmt::format("mapping {:x}-{:x} of {}", record.start, record.end, owner), state,
				    hint);
	};
	bool from_kernel = kind == Vma::VDSO || kind == Vma::VVAR || kind == Vma::VVAR_VCLOCK;
	refuse(key_of(record) && (from_kernel || kind == Vma::RING), "has a memory protection key",
	       "give it key 0 again (pkey_mprotect) before the dump");
	refuse(record.anon_vma && from_kernel, "is a vDSO that was written to",
	       "detach the debugger or tracer that did it");
}

// Objects that are open, not mapped: known by their files. And the content of all, once the pages were copied.
void Collector::add_shared_memory()
{
	for (const images::File &file : ctx_.document->files()) {
		uint32_t id = file.has_memfd() ? file.memfd().shared_memory() : file.ghost().shared_memory();
		if (!id || shared_.contains(id))
			continue;
		images::SharedMemory &object = *ctx_.document->add_shared_memory();
		shared_.emplace(id, &object);
		object.set_id(id);
		object.set_size(file.size());
		object.set_device(file.device());
		object.set_inode(file.inode());
		object.set_name(file.path());
	}
	if (!pages_)
		return;
	std::unordered_set<uint32_t> copied;
	for (const memory::SharedPages &pages : pages_->shared()) {
		auto object = shared_.find(ctx_.ids.shared_memory.find(pages.object.inode));
		if (object == shared_.end())
			continue;
		copied.insert(object->first);
		add_runs(pages.runs, *object->second->mutable_pages());
	}
	for (const auto &[id, object] : shared_) {
		if (!copied.contains(id))
			ctx_.refuse("memory object " + object->name(),
				    "only a ring holds it, and its content cannot be reached",
				    "keep a descriptor of it open");
	}
}

// Every process that has an address space is described with it.
void Collector::check_complete()
{
	std::unordered_set<uint32_t> known;
	for (const images::Memory &memory : ctx_.document->memory())
		known.insert(memory.id());
	for (const images::Process &process : ctx_.document->processes()) {
		if (!process.address_space() || known.contains(process.address_space()) || ctx_.live)
			continue;
		ctx_.findings.push_back(
			Error(Code::kInternal, "its address space was not captured").on(process_name(process.pid())));
	}
}

Result<> collect_memory(const iterators::VmaRecords &vmas, const PageDump *pages, Context &ctx)
{
	Collector collector(vmas, pages, ctx);
	for (const AddressSpace &space : vmas.spaces)
		TRY(collector.add_space(space));
	collector.add_shared_memory();
	collector.check_complete();
	return {};
}

void collect_resident_bytes(Context &ctx)
{
	std::unordered_map<uint32_t, uint32_t> tids; // by Memory.id
	for (const images::Process &process : ctx.document->processes())
		tids.emplace(process.address_space(), living_tid(process));
	for (images::Memory &memory : *ctx.document->mutable_memory())
		memory.mutable_totals()->set_resident_bytes(resident_bytes(static_cast<pid_t>(tids[memory.id()])));
}

} // namespace bpfckpt::collect
