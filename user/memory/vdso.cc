// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/memory/vdso.h"

#include <algorithm>

#include <elf.h>
#include <sys/auxv.h>
#include <xxhash.h>

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

} // namespace bpfckpt::memory
