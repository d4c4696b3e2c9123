// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/policy/memory_support.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace bpfckpt::policy {

using images::Vma;

// Why a kind cannot be carried over; nullptr: it can.
static const char *obstacle_of(Vma::Kind kind)
{
	switch (kind) {
	case Vma::HUGETLB:
		return "is huge page memory (hugetlbfs)";
	case Vma::DEVICE:
		return "is the memory of a device";
	case Vma::AIO_RING:
		return "is the ring of an AIO context (io_setup)";
	case Vma::SECRETMEM:
		return "is secret memory (memfd_secret), which nobody else can read";
	case Vma::UNKNOWN:
		return "is a special mapping that bpfckpt does not know";
	default:
		return nullptr;
	}
}

static bool has_advice(const Vma &vma, std::string_view name)
{
	return std::ranges::find(vma.advice(), name) != vma.advice().end();
}

static std::string owner_of(const images::Document &document, const images::Memory &memory)
{
	uint32_t pid = memory.pids_size() ? memory.pids(0) : 0;
	for (const images::Process &process : document.processes())
		if (process.pid() == pid)
			return fmt::format("pid {} ({})", pid, process.comm());
	return fmt::format("pid {}", pid);
}

// For a finding only: it looks for the owner among all processes.
static std::string name_of(const Vma &vma, const images::Document &document, const images::Memory &memory)
{
	return fmt::format("mapping {:x}-{:x} of {}", vma.start(), vma.end(), owner_of(document, memory));
}

static void refuse_mapping(const Vma &vma, const images::Document &document, const images::Memory &memory,
			   Findings &findings)
{
	auto refuse = [&](const char *state, const char *hint) {
		findings.push_back(Error(Code::kUnsupported, state).on(name_of(vma, document, memory)).with_hint(hint));
	};
	if (const char *obstacle = obstacle_of(vma.kind()))
		refuse(obstacle, "unmap it before the dump, or take a --forensic one");
	if (has_advice(vma, "um") || has_advice(vma, "uw") || has_advice(vma, "ui"))
		refuse("is registered with a userfaultfd", "unregister it before the dump");
	if (has_advice(vma, "ss"))
		refuse("is a shadow stack", "start the program with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
	if (vma.has_policy())
		refuse("has a NUMA policy (mbind)", "start the program under numactl instead");
}

// mmap(2) of such a memfd takes the right to write away for good, which an earlier mapping has still; restore maps
// before it seals (mm/shmem.c: shmem_mmap()).
static void refuse_sealed_mappings(const images::Document &document, const images::Memory &memory, Findings &findings)
{
	constexpr uint32_t kFutureWrite = 0x10; // F_SEAL_FUTURE_WRITE
	constexpr uint32_t kFmodeWrite = 2;
	for (const images::File &file : document.files()) {
		if (!(file.memfd().seals() & kFutureWrite) || !(file.file_mode() & kFmodeWrite))
			continue;
		for (const Vma &vma : memory.vmas())
			if (vma.file() == file.id() && vma.shared() && !vma.may_write())
				findings.push_back(
					Error(Code::kUnsupported,
					      "maps a memfd after it was sealed by F_SEAL_FUTURE_WRITE")
						.on(name_of(vma, document, memory))
						.with_hint("map it through a descriptor that is open for reading "
							   "only"));
	}
}

// Why what an address space has of a segment cannot be attached again: shmat(2) maps all of it at once.
static const char *obstacle_of(const images::Memory &memory, int index, const images::SharedMemory *object)
{
	constexpr uint32_t kLocked = 02000; // SHM_LOCKED
	if (!object || !object->has_sysv())
		return "is a System V segment of another IPC namespace";
	if (object->sysv().mode() & kLocked)
		return "is a System V segment that is locked in memory (SHM_LOCK)";
	const Vma &vma = memory.vmas(index);
	auto goes_on = [&](int first) {
		return first >= 0 && first + 1 < memory.vmas_size() &&
		       memory.vmas(first).shared_memory() == memory.vmas(first + 1).shared_memory() &&
		       memory.vmas(first).end() == memory.vmas(first + 1).start() &&
		       memory.vmas(first + 1).offset() ==
			       memory.vmas(first).offset() + memory.vmas(first).end() - memory.vmas(first).start();
	};
	uint64_t size = (object->size() + 4095) & ~uint64_t{4095};
	bool begins = !vma.offset() || goes_on(index - 1);
	bool ends = vma.offset() + vma.end() - vma.start() == size || goes_on(index);
	return begins && ends ? nullptr : "is a System V segment of which a part was unmapped, or moved";
}

static void refuse_segments(const images::Document &document, const images::Memory &memory, Findings &findings)
{
	for (int i = 0; i < memory.vmas_size(); i++) {
		const Vma &vma = memory.vmas(i);
		if (vma.kind() != Vma::SYSV_SHM)
			continue;
		auto object =
			std::ranges::find(document.shared_memory(), vma.shared_memory(), &images::SharedMemory::id);
		const char *obstacle =
			obstacle_of(memory, i, object == document.shared_memory().end() ? nullptr : &*object);
		if (obstacle)
			findings.push_back(Error(Code::kUnsupported, obstacle)
						   .on(name_of(vma, document, memory))
						   .with_hint("detach it before the dump"));
	}
}

void refuse_unsupported_memory(const images::Memory &memory, const images::Document &document, Findings &findings)
{
	refuse_sealed_mappings(document, memory, findings);
	refuse_segments(document, memory, findings);
	for (const Vma &vma : memory.vmas())
		refuse_mapping(vma, document, memory, findings);
}

void refuse_unsupported_memory(const images::Document &document, Findings &findings)
{
	for (const images::Memory &memory : document.memory())
		refuse_unsupported_memory(memory, document, findings);
}

} // namespace bpfckpt::policy
