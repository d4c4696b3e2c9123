/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// Who has what open: a process's descriptors name files by File.id.
#pragma once

#include <cstdint>
#include <optional>

#include "images/document.pb.h"

namespace bpfckpt::images {

// The first descriptor that names the file; nothing: none does.
std::optional<uint32_t> descriptor_of(const Process &process, uint32_t file);

// File.id of what the descriptor names; 0: it is not open.
uint32_t file_of(const Process &process, uint64_t descriptor);

// The first process that has the file open; nullptr: none has.
const Process *first_holder(const Document &document, uint32_t file);

} // namespace bpfckpt::images
