// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/vdso.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>
#include <x86intrin.h>
#include <xxhash.h>

#include "user/util/io.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::memory {

std::string vdso_hash()
{
	auto base = getauxval(AT_SYSINFO_EHDR);
	if (!base)
		return {};
	const auto *elf = reinterpret_cast<const Elf64_Ehdr *>(base);
	const auto *segments = reinterpret_cast<const Elf64_Phdr *>(base + elf->e_phoff);
	uint64_t end = 0;
	for (int i = 0; i < elf->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			end = std::max(end, segments[i].p_offset + segments[i].p_filesz);
	XXH128_canonical_t digest;
	XXH128_canonicalFromHash(&digest, XXH3_128bits(elf, end));
	return {reinterpret_cast<const char *>(digest.digest), sizeof(digest.digest)};
}

Result<OwnVdso> own_vdso()
{
	OwnVdso own = {.start = UINT64_MAX};
	std::string maps = TRY(read_file("/proc/self/maps"));
	for (size_t at = 0; at < maps.size(); at = maps.find('\n', at) + 1) {
		unsigned long from = 0, to = 0;
		char name[32] = "";
		if (sscanf(maps.c_str() + at, "%lx-%lx %*s %*s %*s %*s %31s", &from, &to, name) < 3)
			continue;
		std::string_view what = name;
		if (what == "[vdso]") {
			own.code = from;
			own.end = to;
		}
		if (what == "[vdso]" || what.starts_with("[vvar"))
			own.start = std::min<uint64_t>(own.start, from);
	}
	if (!own.code)
		return Error(Code::kKernelLacks, "no vDSO is mapped (vdso=0)");
	return own;
}

Range vdso_code(const images::Memory &memory)
{
	for (const images::Vma &vma : memory.vmas())
		if (vma.kind() == images::Vma::VDSO)
			return {vma.start(), vma.end()};
	return {};
}

std::optional<user_regs_struct> registers_of(const images::Thread &thread)
{
	user_regs_struct regs;
	if (thread.prstatus().size() != sizeof(regs))
		return std::nullopt;
	memcpy(&regs, thread.prstatus().data(), sizeof(regs));
	return regs;
}

bool is_inside(const images::Thread &thread, Range code)
{
	auto regs = registers_of(thread);
	return regs && regs->rip >= code.start && regs->rip < code.end;
}

using Pages = std::map<uint64_t, std::string>; // distance below the code -> content

// Some pages are there only under a hypervisor: reading one that is not gives SIGBUS, but to a system call EFAULT.
static Result<Pages> read_data(const OwnVdso &own)
{
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC))
		return errno_error(errno, "cannot make a pipe");
	UniqueFd reader(ends[0]), writer(ends[1]);
	Pages pages;
	for (uint64_t page = own.start; page < own.code; page += kPageSize) {
		if (::write(writer.get(), reinterpret_cast<const void *>(page), kPageSize) !=
		    static_cast<ssize_t>(kPageSize))
			continue;
		std::string content(kPageSize, '\0');
		if (::read(reader.get(), content.data(), kPageSize) != static_cast<ssize_t>(kPageSize))
			return errno_error(errno, "cannot read the data of the vDSO");
		pages.emplace(own.code - page, std::move(content));
	}
	return pages;
}

// Updates of the data take less than a microsecond, some hundred times a second: what was the same three times is
// whole.
static Result<Pages> read_whole_data(const OwnVdso &own)
{
	constexpr int kTries = 1000;
	Pages last = TRY(read_data(own));
	for (int i = 0, same = 0; i < kTries; i++) {
		Pages again = TRY(read_data(own));
		same = again == last ? same + 1 : 0;
		if (same == 2)
			return last;
		last = std::move(again);
	}
	return Error(Code::kInternal, "the data of the vDSO does not stand still");
}

Result<> save_vdso(bool with_data, images::Vdso &to)
{
	Result<OwnVdso> own = own_vdso();
	if (!own)
		return {};
	to.set_code(own->bytes().data(), own->bytes().size());
	if (!with_data)
		return {};
	for (auto &[below, content] : TRY(read_whole_data(*own))) {
		images::VdsoPage *page = to.add_data();
		page->set_below(below);
		page->set_content(content);
	}
	// Later than any reading of the data.
	to.set_tsc(__rdtsc());
	return {};
}

} // namespace bpfckpt::memory
