// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "iterators/vma_reader.h"

#include <algorithm>
#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bpf/vma.skel.h"
#include "iterators/bpf_object.h"
#include "iterators/own_mappings.h"
#include "iterators/record_map.h"
#include "iterators/record_text.h"
#include "iterators/vma_store.h"

namespace bpfckpt::iterators {

struct Pass {
	pid_t pid;
	pid_t tid;
};

struct VmaReader::State {
	BpfObject<vma_bpf> object;
	RecordMap<vma_record> vma_map;
	RecordMap<mm_record> mm_map;
	RecordMap<vma_name_record> names;
	RecordMap<mm_auxv_record> auxvs;
	std::vector<Pass> passes = {};
	IterLinks links = {}; // of the passes
	std::vector<AddressSpace> spaces = {};
	std::unordered_map<uint64_t, size_t> known = {}; // struct mm_struct -> which of `spaces`
	VmaStore store{vma_map, names, auxvs};
	VmaStore::Mark lacking = {}; // records for which there was no room, of passes that were dropped
	VmaKinds kinds = {};

	Result<> run(size_t pass);
	void drop_lacking(const VmaStore::Mark &start);
	Result<> learn_kinds();
	Result<uint64_t> own_mm_flags(const IterLink &link);
};

VmaReader::VmaReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
VmaReader::VmaReader(VmaReader &&) noexcept = default;
VmaReader &VmaReader::operator=(VmaReader &&) noexcept = default;
VmaReader::~VmaReader() = default;

Result<VmaReader> VmaReader::load(const VmaCapacity &capacity)
{
	BpfObject<vma_bpf> object = TRY(BpfObject<vma_bpf>::open());
	bpf_map__set_max_entries(object->maps.vma_map, capacity.vmas);
	bpf_map__set_max_entries(object->maps.mm_map, capacity.spaces);
	bpf_map__set_max_entries(object->maps.vma_names, capacity.names);
	bpf_map__set_max_entries(object->maps.mm_auxvs, capacity.auxvs);
	TRY(object.load());
	auto vma_map = TRY(RecordMap<vma_record>::create(object->maps.vma_map, &object->bss->vma_map_count));
	auto names = TRY(RecordMap<vma_name_record>::create(object->maps.vma_names, &object->bss->vma_names_count));
	auto mm_map = TRY(RecordMap<mm_record>::create(object->maps.mm_map, &object->bss->mm_map_count));
	auto auxvs = TRY(RecordMap<mm_auxv_record>::create(object->maps.mm_auxvs, &object->bss->mm_auxvs_count));
	auto state = std::make_unique<State>(std::move(object), std::move(vma_map), std::move(mm_map), std::move(names),
					     std::move(auxvs));
	TRY(state->learn_kinds());
	return VmaReader(std::move(state));
}

// /proc/PID/maps of a thread that has exited is empty.
static bool has_memory(const std::string &proc)
{
	UniqueFd fd(open((proc + "/maps").c_str(), O_RDONLY | O_CLOEXEC));
	char byte;
	return fd.valid() && read(fd.get(), &byte, 1) == 1;
}

// The leader, or a thread that has outlived it. The leader, too, if none has memory: it will be gone in the freeze.
static pid_t thread_with_memory(pid_t pid)
{
	std::string proc = fmt::format("/proc/{}", pid);
	if (has_memory(proc))
		return pid;
	std::error_code ignored;
	for (const auto &task : std::filesystem::directory_iterator(proc + "/task", ignored)) {
		if (has_memory(task.path()))
			return std::stoi(task.path().filename());
	}
	return pid;
}

Result<> VmaReader::attach(std::span<const pid_t> pids)
{
	state_->passes.clear();
	std::vector<IterFilter> filters;
	for (pid_t pid : pids) {
		pid_t tid = thread_with_memory(pid);
		state_->passes.push_back({pid, tid});
		filters.push_back({.tid = static_cast<unsigned>(tid)});
	}
	return state_->links.attach(state_->object->progs.dump_vmas, std::move(filters));
}

Result<> VmaReader::run()
{
	State &state = *state_;
	state.mm_map.clear();
	state.store.clear();
	state.spaces.clear();
	state.known.clear();
	state.lacking = {};
	state.spaces.reserve(state.passes.size());
	for (size_t i = 0; i < state.passes.size(); i++)
		TRY(state.run(i));
	state.vma_map.cut(state.vma_map.needed() + state.lacking.vmas);
	state.names.cut(state.names.needed() + state.lacking.names);
	state.auxvs.cut(state.auxvs.needed() + state.lacking.auxvs);
	if (state.vma_map.overflowed() || state.mm_map.overflowed() || state.names.overflowed() ||
	    state.auxvs.overflowed())
		return make_error(Code::kLimit, "{} mappings of {} address spaces, more than there was room for",
				  state.vma_map.needed(), state.mm_map.needed());
	return {};
}

// What does not fit cannot be compared: as if no other had the same.
void VmaReader::State::drop_lacking(const VmaStore::Mark &start)
{
	VmaStore::Mark end = store.mark();
	if (vma_map.overflowed())
		lacking.vmas += end.vmas - start.vmas;
	if (names.overflowed())
		lacking.names += end.names - start.names;
	if (auxvs.overflowed())
		lacking.auxvs += end.auxvs - start.auxvs;
	store.drop(start);
}

Result<> VmaReader::State::run(size_t pass)
{
	VmaStore::Mark start = store.mark();
	uint32_t spaces_before = mm_map.needed();
	TRY(links.run(pass));
	if (vma_map.overflowed() || names.overflowed() || auxvs.overflowed() || mm_map.overflowed()) {
		drop_lacking(start);
		return {};
	}
	// Without VMAs it has no address space.
	std::span<const vma_record> vmas = vma_map.records().subspan(start.vmas);
	mm_record *mm = vmas.empty() ? nullptr : &mm_map.changeable()[vmas[0].space];
	if (!mm || !mm->mm)
		return {};
	auto [pid, tid] = passes[pass];
	auto [space, fresh] = known.emplace(mm->mm, spaces.size());
	if (fresh) {
		spaces.push_back({mm, store.keep(start, *mm), {pid}, tid});
	} else {
		spaces[space->second].pids.push_back(pid);
		store.drop(start);
		mm_map.cut(spaces_before);
	}
	return {};
}

Result<uint64_t> VmaReader::State::own_mm_flags(const IterLink &link)
{
	mm_map.clear();
	TRY(link.run());
	return mm_map.records().empty() ? 0 : mm_map.records()[0].flags;
}

Result<> VmaReader::State::learn_kinds()
{
	OwnMappings own;
	IterLink link = TRY(IterLink::attach(object->progs.dump_vmas, {.tid = static_cast<unsigned>(gettid())}));
	int thp_was_disabled = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0); // 1, or 1 and how
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	uint64_t with_thp_disabled = TRY(own_mm_flags(link));
	bool knows_advised = prctl(PR_SET_THP_DISABLE, 1, kThpExceptAdvised, 0, 0) == 0;
	uint64_t with_advised_only = TRY(own_mm_flags(link));
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	uint64_t mm_flags = TRY(own_mm_flags(link));
	if (thp_was_disabled > 0)
		prctl(PR_SET_THP_DISABLE, 1, thp_was_disabled & kThpExceptAdvised, 0, 0);

	vma_map.clear();
	TRY(link.run());
	std::span<const vma_record> vmas = vma_map.records();
	auto at = [&](uint64_t address) {
		auto it = std::ranges::find_if(vmas, [address](const vma_record &vma) {
			return address && vma.start <= address && address < vma.end;
		});
		return it == vmas.end() ? vma_record{} : *it;
	};
	kinds = {
		.special_ops = at(own.vdso()).ops,
		.sysv_ops = at(own.sysv()).ops,
		.aio_ops = at(own.aio()).ops,
		.ring_f_op = at(own.ring()).f_op,
		.secretmem_f_op = at(own.secret()).f_op,
		.thp_disabled = with_thp_disabled & ~mm_flags,
		.thp_advised_only = knows_advised ? with_advised_only & ~mm_flags : 0,
		.shmem_device = at(own.shared_anonymous()).device,
	};
	object->bss->special_ops = kinds.special_ops;
	object->bss->shmem_device = kinds.shmem_device;
	if (!kinds.special_ops || !kinds.shmem_device)
		return Error(Code::kInternal, "cannot find our own vDSO and shared memory among our mappings");
	return {};
}

std::string_view VmaRecords::name_of(const vma_record &vma) const
{
	return vma.name && vma.name <= names.size() ? text_of(names[vma.name - 1].name) : std::string_view();
}

std::span<const __u64> VmaRecords::auxv_of(const mm_record &mm) const
{
	if (!mm.auxv || mm.auxv > auxvs.size())
		return {};
	const mm_auxv_record &auxv = auxvs[mm.auxv - 1];
	return std::span(auxv.words).first(std::min<size_t>(auxv.count, MM_AUXV_WORDS));
}

VmaRecords VmaReader::records() const
{
	return {spaces(), kinds(), state_->names.records(), state_->auxvs.records()};
}

std::span<const AddressSpace> VmaReader::spaces() const
{
	return state_->spaces;
}

std::vector<uint64_t> VmaReader::files() const
{
	std::unordered_set<uint64_t> seen;
	std::vector<uint64_t> files;
	auto add = [&](uint64_t file) {
		if (file && seen.insert(file).second)
			files.push_back(file);
	};
	VmaList last;
	for (const AddressSpace &space : state_->spaces) {
		if (!space.vmas.is_same(last))
			for (const vma_record &vma : space.vmas)
				add(vma.file);
		last = space.vmas;
		add(space.mm->exe_file);
	}
	return files;
}

VmaCapacity VmaReader::needed() const
{
	return {.vmas = state_->vma_map.wanted(),
		.spaces = state_->mm_map.wanted(),
		.names = state_->names.wanted(),
		.auxvs = state_->auxvs.wanted()};
}

const VmaKinds &VmaReader::kinds() const
{
	return state_->kinds;
}

} // namespace bpfckpt::iterators
