// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/descriptors.h"

#include <algorithm>

namespace bpfckpt::images {

std::optional<uint32_t> descriptor_of(const Process &process, uint32_t file)
{
	auto entry = std::ranges::find(process.files(), file, &FdEntry::file);
	return entry == process.files().end() ? std::nullopt : std::optional(entry->fd());
}

uint32_t file_of(const Process &process, uint64_t descriptor)
{
	auto entry = std::ranges::find(process.files(), descriptor, &FdEntry::fd);
	return entry == process.files().end() ? 0 : entry->file();
}

const Process *first_holder(const Document &document, uint32_t file)
{
	for (const Process &process : document.processes())
		if (descriptor_of(process, file))
			return &process;
	return nullptr;
}

} // namespace bpfckpt::images
